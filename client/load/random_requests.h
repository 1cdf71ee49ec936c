// RandomRequests: requests that the load options describe, all of them following from the seed.
#ifndef WINNOW_CLIENT_LOAD_RANDOM_REQUESTS_H_
#define WINNOW_CLIENT_LOAD_RANDOM_REQUESTS_H_

#include <cstdint>
#include <vector>

#include "client/load/load_options.h"
#include "client/load/random.h"
#include "client/load/request_source.h"
#include "client/load/requests_file.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow::load {

// Not thread-safe. The options must outlive it.
class RandomRequests final : public RequestSource {
 public:
  // Random prompts have ids in [0, vocab_size), vocab_size >= 1. `file` may be empty. Without a
  // tokenizer no text is asked for.
  RandomRequests(const LoadOptions& options, std::vector<FileRequest> file, uint32_t vocab_size,
                 bool has_tokenizer);

  PlannedRequest Next() override;

 private:
  void FillPrompt(const FileRequest& line, v1::GenerateRequest* request);
  void DrawBehaviour(int output_tokens, PlannedRequest* planned);

  const LoadOptions& options_;
  const std::vector<FileRequest> file_;
  const uint32_t vocab_size_;
  const bool skip_text_;
  Random lengths_, behaviours_, seeds_;
  int64_t num_drawn_ = 0;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_RANDOM_REQUESTS_H_
