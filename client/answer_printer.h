// AnswerPrinter: shows the messages of one Generate stream in the form that was asked for.
//
// Text goes out as it comes; one JSON object at the end; or one JSON line per message. Of several
// choices, which interleave on the stream, text shows each whole, under a heading and in order, and
// the JSON object has a list. Times and errors go to `diagnostics`, except that errors are part of
// the JSON where there is one.
//
// Memory: text of several choices is kept until it is printed, which is when its choice and those
// before it have finished; the JSON object keeps all, JSON lines nothing. One thread.
#ifndef WINNOW_CLIENT_ANSWER_PRINTER_H_
#define WINNOW_CLIENT_ANSWER_PRINTER_H_

#include <cstdint>
#include <map>
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
  // `options` says the form, how many choices were asked for, and whether to be quiet. `start`:
  // when the request was sent. Streams must outlive this.
  AnswerPrinter(const ClientOptions& options, absl::Time start, std::ostream* out,
                std::ostream* diagnostics);

  void Add(const v1::GenerateResponse& message, absl::Time now);
  void End(const RpcError& status, absl::Time now);

 private:
  // What is kept of a choice: what is not shown as it comes.
  struct Choice {
    bool finished() const { return finish.reason() != v1::FINISH_REASON_UNSPECIFIED; }

    std::string text;
    std::vector<uint32_t> token_ids;
    std::vector<v1::PositionLogprobs> logprobs;
    v1::Finish finish;
  };

  void PrintLine(const v1::GenerateResponse& message);
  void Collect(const v1::GenerateResponse& message);
  void AddText(const v1::Delta& delta);
  // Prints and forgets the choices whose turn it is.
  void PrintFinishedChoices();
  void PrintChoice(uint32_t index, const Choice& choice);
  void PrintText(const std::string& text);
  // What follows the text: token ids, logprobs, tokens kept.
  void PrintReport(const Choice& choice);
  // Once: before the first choice's logprobs.
  void PrintPromptLogprobs();
  void EndText(const RpcError& status);
  void EndJson(const RpcError& status, absl::Time now);
  static void AddToJson(const Choice& choice, nlohmann::json* json);
  void PrintTimes(absl::Time now);
  double TokensPerSecond() const;  // after the first token; 0 with fewer than two

  const OutputForm form_;
  const bool quiet_;
  const bool several_;  // choices
  const absl::Time start_;
  std::ostream* const out_;
  std::ostream* const diagnostics_;

  absl::Time first_token_, last_token_;
  uint64_t num_tokens_ = 0;  // of all choices
  bool line_open_ = false;   // text was printed, its last character no line break
  v1::PromptInfo prompt_;
  std::vector<v1::PositionLogprobs> prompt_logprobs_;
  std::map<uint32_t, Choice> choices_;  // by index
  uint32_t next_choice_ = 0;            // to print, of several as text
};

}  // namespace winnow

#endif  // WINNOW_CLIENT_ANSWER_PRINTER_H_
