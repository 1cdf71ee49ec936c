#include "client/eval/word_counts.h"

#include <algorithm>
#include <cstddef>

namespace winnow::eval {

absl::StatusOr<int64_t> WordCounts::Count(const std::string& text) {
  int64_t total = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin + 1), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end;
    auto known = known_.find(word);
    if (known == known_.end()) {
      const auto count = count_(word);
      if (!count.ok()) return count.status();
      known = known_.emplace(word, *count).first;
    }
    total += known->second;
  }
  return total;
}

}  // namespace winnow::eval
