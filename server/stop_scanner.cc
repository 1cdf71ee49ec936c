#include "server/stop_scanner.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace winnow {

StopStrings::StopStrings(std::vector<std::string> texts) : texts_(std::move(texts)) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    WINNOW_CHECK(!texts_[i].empty()) << i;
    borders_.emplace_back(texts_[i].size(), 0);
    for (size_t n = 1; n < texts_[i].size(); ++n) {
      borders_[i][n] = Next(i, borders_[i][n - 1], texts_[i][n]);
    }
  }
}

size_t StopStrings::Next(size_t i, size_t matched, char byte) const {
  const std::string& text = texts_[i];
  if (matched == text.size()) matched = borders_[i][matched - 1];
  while (matched > 0 && text[matched] != byte) matched = borders_[i][matched - 1];
  return text[matched] == byte ? matched + 1 : 0;
}

std::optional<size_t> StopScanner::Step(char byte) {
  std::optional<size_t> longest;
  for (size_t i = 0; i < matched_.size(); ++i) {
    matched_[i] = stops_->Next(i, matched_[i], byte);
    const size_t length = stops_->text(i).size();
    if (matched_[i] == length && (!longest.has_value() || length > stops_->text(*longest).size())) {
      longest = i;
    }
  }
  return longest;
}

size_t StopScanner::LongestMatch() const {
  size_t longest = 0;
  for (size_t i = 0; i < matched_.size(); ++i) {
    // One that is complete did not count; its own border may still become another.
    const bool complete = matched_[i] == stops_->text(i).size();
    longest = std::max(longest, complete ? stops_->Border(i) : matched_[i]);
  }
  return longest;
}

std::string StopScanner::Append(absl::string_view piece, bool may_stop) {
  if (stopped()) return "";
  for (const char byte : piece) {
    held_.push_back(byte);
    const std::optional<size_t> complete = Step(byte);
    if (!may_stop || !complete.has_value()) continue;
    stop_ = complete;
    if (!include_stop_text_) held_.resize(held_.size() - stop_text().size());
    return std::exchange(held_, "");
  }
  const size_t shown = held_.size() - LongestMatch();
  std::string text = held_.substr(0, shown);
  held_.erase(0, shown);
  return text;
}

std::string StopScanner::Flush() { return std::exchange(held_, ""); }

}  // namespace winnow
