// RequestSource: the requests of a run, one after the other, all of them following from the seed.
#ifndef WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_
#define WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_

#include <cstdint>
#include <vector>

#include "client/load/load_options.h"
#include "client/load/random.h"
#include "client/load/requests_file.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow::load {

enum class Behaviour { kRead, kCancel, kReadSlowly };

struct PlannedRequest {
  Behaviour behaviour = Behaviour::kRead;
  // Of kCancel: one of 1..half of the output tokens. The half leaves the server, which runs ahead
  // of what has been read, something to stop.
  uint32_t cancel_after_tokens = 0;
  v1::GenerateRequest request;
};

// Not thread-safe. The options must outlive it.
class RequestSource {
 public:
  // Random prompts have ids in [0, vocab_size), vocab_size >= 1. `file` may be empty. Without a
  // tokenizer no text is asked for.
  RequestSource(const LoadOptions& options, std::vector<FileRequest> file, uint32_t vocab_size,
                bool has_tokenizer);

  PlannedRequest Next();

 private:
  void FillPrompt(const FileRequest& line, v1::GenerateRequest* request);
  void DrawBehaviour(int output_tokens, PlannedRequest* planned);

  const LoadOptions& options_;
  const std::vector<FileRequest> file_;
  const uint32_t vocab_size_;
  const bool skip_text_;
  Random lengths_, behaviours_, seeds_;
  size_t num_drawn_ = 0;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_
