// StopTextMatcher: the scheduler's StopMatcher, on a detokenizer and a StopScanner of its own.
//
// The stream that shows the text runs the same two over the same tokens (server/choice_text.h) and
// so comes to the same end, on its own thread and in its own time.
#ifndef WINNOW_SERVER_STOP_TEXT_MATCHER_H_
#define WINNOW_SERVER_STOP_TEXT_MATCHER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "model/tokenizer/detokenizer.h"
#include "scheduler/stop_matcher.h"
#include "server/stop_scanner.h"

namespace winnow {

class StopTextMatcher final : public StopMatcher {
 public:
  // `tokenizer` outlives this.
  StopTextMatcher(const Tokenizer* tokenizer, std::shared_ptr<const StopStrings> stops,
                  bool include_special_tokens)
      : stops_(std::move(stops)),
        detokenizer_(tokenizer, IncrementalDetokenizer::Start::kMidText, include_special_tokens),
        scanner_(stops_.get(), /*include_stop_text=*/false) {}

  std::optional<std::string> Append(uint32_t token, bool may_stop) override {
    // A vocabulary may be larger than its tokenizer's: an id without a token has no text.
    scanner_.Append(detokenizer_.Append(token).value_or(""), may_stop);
    if (!scanner_.stopped()) return std::nullopt;
    return scanner_.stop_text();
  }

 private:
  const std::shared_ptr<const StopStrings> stops_;
  IncrementalDetokenizer detokenizer_;
  StopScanner scanner_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_STOP_TEXT_MATCHER_H_
