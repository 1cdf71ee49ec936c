// StopScanner: finds stop strings in a text that comes in pieces, and holds back what may become
// one.
//
//   const StopStrings stops({"\n\n", "User:"});
//   StopScanner scanner(&stops, /*include_stop_text=*/false);
//   client << scanner.Append(piece, /*may_stop=*/true);     // text that is safe to show
//   if (scanner.stopped()) ...                              // scanner.stop_text() ended it
//   client << scanner.Flush();                              // at the end: what was held back
//
// The text ends where the first stop string is complete; of several that are complete at the same
// byte, the longest counts. So the result depends on the text alone, not on its pieces. Without
// include_stop_text it ends before that string, else behind it; what follows is dropped.
//
// Knuth, Morris, Pratt, "Fast pattern matching in strings" (SIAM J. Comput. 1977), all strings side
// by side: a byte costs O(number of strings) amortized, and the longest match in progress is
// exactly what must be held back. Text and stop strings are whole UTF-8, so what is shown is too.
#ifndef WINNOW_SERVER_STOP_SCANNER_H_
#define WINNOW_SERVER_STOP_SCANNER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace winnow {

// Immutable; shared by all scanners of a request.
class StopStrings {
 public:
  // REQUIRES: none is empty.
  explicit StopStrings(std::vector<std::string> texts);

  bool empty() const { return texts_.empty(); }
  size_t size() const { return texts_.size(); }
  const std::string& text(size_t i) const { return texts_[i]; }

  // How much of text i the matched text ends with after one more byte, if it ended with `matched`
  // bytes of it.
  size_t Next(size_t i, size_t matched, char byte) const;
  // How much of text i its own end is.
  size_t Border(size_t i) const { return borders_[i].back(); }

 private:
  std::vector<std::string> texts_;
  // borders_[i][n]: the longest proper prefix of text i that also ends its first n + 1 bytes.
  std::vector<std::vector<size_t>> borders_;
};

// A value: a copy goes on from the same place. One stream, one thread at a time.
class StopScanner {
 public:
  // `stops` outlives this.
  StopScanner(const StopStrings* stops, bool include_stop_text)
      : stops_(stops), include_stop_text_(include_stop_text), matched_(stops->size(), 0) {}

  // What may be shown now. With `may_stop` false, strings that are complete within this piece do
  // not count. After a stop: nothing.
  std::string Append(absl::string_view piece, bool may_stop);

  // What was held back. The text is over.
  std::string Flush();

  bool stopped() const { return stop_.has_value(); }
  // REQUIRES: stopped().
  const std::string& stop_text() const { return stops_->text(*stop_); }

 private:
  // The longest string that this byte completes.
  std::optional<size_t> Step(char byte);
  size_t LongestMatch() const;

  const StopStrings* stops_;
  bool include_stop_text_;
  std::vector<size_t> matched_;  // per stop string: bytes of it that the text ends with
  std::string held_;             // the end of the text that is not shown yet
  std::optional<size_t> stop_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_STOP_SCANNER_H_
