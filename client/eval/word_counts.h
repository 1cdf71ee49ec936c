// WordCounts: a TokenCounter that asks for each word once.
#ifndef WINNOW_CLIENT_EVAL_WORD_COUNTS_H_
#define WINNOW_CLIENT_EVAL_WORD_COUNTS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/demo_world.h"

namespace winnow::eval {

// Counts word by word, each with the space before it, and remembers. That is exact where a
// tokenizer splits at spaces first, as byte-level BPE does, and a little too much elsewhere. Not
// thread-safe.
class WordCounts {
 public:
  explicit WordCounts(TokenCounter count) : count_(std::move(count)) {}

  // Errors are those of the counter that it asks.
  absl::StatusOr<int64_t> Count(const std::string& text);

 private:
  const TokenCounter count_;
  absl::flat_hash_map<std::string, int64_t> known_;
};

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_WORD_COUNTS_H_
