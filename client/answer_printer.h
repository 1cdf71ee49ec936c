// AnswerPrinter: shows the messages of one Generate stream in the form that was asked for.
//
// Text goes out as it comes; one JSON object at the end; or one JSON line per message. Times and
// errors go to `diagnostics`, except that errors are part of the JSON where there is one. One
// thread.
#ifndef WINNOW_CLIENT_ANSWER_PRINTER_H_
#define WINNOW_CLIENT_ANSWER_PRINTER_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/client_options.h"
#include "client/rpc_error.h"
#include "nlohmann/json.hpp"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

class AnswerPrinter {
 public:
  // `start`: when the request was sent. Streams must outlive this.
  AnswerPrinter(OutputForm form, bool quiet, absl::Time start, std::ostream* out,
                std::ostream* diagnostics);

  void Add(const v1::GenerateResponse& message, absl::Time now);
  void End(const RpcError& status, absl::Time now);

 private:
  void AddText(const v1::Delta& delta);
  void Collect(const v1::GenerateResponse& message);
  void PrintReport(const v1::Delta& delta);
  void EndText(const RpcError& status);
  void EndJson(const RpcError& status, absl::Time now);
  void PrintTimes(absl::Time now);
  double TokensPerSecond() const;  // after the first token; 0 with fewer than two

  const OutputForm form_;
  const bool quiet_;
  const absl::Time start_;
  std::ostream* const out_;
  std::ostream* const diagnostics_;

  absl::Time first_token_, last_token_;
  uint64_t num_tokens_ = 0;
  bool line_open_ = false;  // text was printed, its last character no line break
  v1::PromptInfo prompt_;
  v1::Finish finish_;
  // What is shown after the text.
  std::string text_;
  std::vector<uint32_t> token_ids_;
  std::vector<v1::PositionLogprobs> logprobs_, prompt_logprobs_;
};

}  // namespace winnow

#endif  // WINNOW_CLIENT_ANSWER_PRINTER_H_
