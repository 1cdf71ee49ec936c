// ChoiceText: the text that a choice shows, from its tokens as they come: detokenized, ending
// before (or behind) what stopped it.
//
// A stop token has no text, a stop string ends the text before itself; with include_stop_text both
// are shown. Whole UTF-8 only; what may become a stop string is held back. The scheduler comes to
// the same end by the same rules (server/stop_text_matcher.h). One stream, one thread at a time.
#ifndef WINNOW_SERVER_CHOICE_TEXT_H_
#define WINNOW_SERVER_CHOICE_TEXT_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer/detokenizer.h"
#include "server/stop_scanner.h"

namespace winnow {

struct TextRules {
  bool include_special_tokens = false;
  bool include_stop_text = false;
  uint32_t min_tokens = 0;                    // so many tokens come before any stop
  std::vector<uint32_t> stop_token_ids = {};  // ascending
};

class ChoiceText {
 public:
  // All arguments outlive this.
  ChoiceText(const Tokenizer* tokenizer, const StopStrings* stops, const TextRules* rules)
      : rules_(rules),
        detokenizer_(tokenizer, IncrementalDetokenizer::Start::kMidText,
                     rules->include_special_tokens),
        scanner_(stops, rules->include_stop_text) {}

  // The text that this token completes; often empty. A vocabulary may be larger than its
  // tokenizer's: an id without a token has no text.
  std::string Append(uint32_t token) {
    const bool may_stop = ++num_tokens_ > rules_->min_tokens;
    if (may_stop && !rules_->include_stop_text && IsStop(token)) return "";
    return scanner_.Append(detokenizer_.Append(token).value_or(""), may_stop);
  }

  // The rest, once the choice has ended.
  std::string Flush() {
    if (scanner_.stopped()) return "";
    std::string text = scanner_.Append(detokenizer_.Flush(), /*may_stop=*/false);
    return text + scanner_.Flush();
  }

 private:
  bool IsStop(uint32_t token) const {
    const auto& ids = rules_->stop_token_ids;
    return std::binary_search(ids.begin(), ids.end(), token);
  }

  const TextRules* rules_;
  IncrementalDetokenizer detokenizer_;
  StopScanner scanner_;
  uint64_t num_tokens_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_CHOICE_TEXT_H_
