// StopScanner against a search of the whole text. Input: options, up to 8 stop strings (a length,
// the bytes), then pieces of text (a length, the bytes).
#include <algorithm>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "server/stop_scanner.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/target.h"

namespace winnow {
namespace {

bool EndsWith(const std::string& text, size_t end, const std::string& what) {
  return end >= what.size() && text.compare(end - what.size(), what.size(), what) == 0;
}

// The longest of `stops` that ends there; empty: none.
std::string LongestStop(const std::string& text, size_t end,
                        const std::vector<std::string>& stops) {
  std::string longest;
  for (const std::string& stop : stops) {
    if (EndsWith(text, end, stop) && stop.size() > longest.size()) longest = stop;
  }
  return longest;
}

// How many bytes at the end of the text are the beginning of a stop string.
size_t HeldBack(const std::string& text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t n = longest + 1; n < stop.size(); ++n) {
      if (EndsWith(text, text.size(), stop.substr(0, n))) longest = n;
    }
  }
  return longest;
}

void Run(Bytes input) {
  const uint8_t options = input.Byte();
  const bool include = options & 1;
  const size_t min_pieces = (options >> 1) % 4;  // that may not stop
  std::vector<std::string> stops;
  for (int n = 1 + (options >> 3) % 8; n > 0; --n) {
    std::string stop = input.String(input.Byte() % 32);
    if (!stop.empty()) stops.push_back(std::move(stop));
  }
  const StopStrings stop_strings(stops);
  StopScanner scanner(&stop_strings, include);
  std::string text, shown;
  for (size_t piece = 0; !input.empty(); ++piece) {
    const size_t begin = text.size();
    const std::string more = input.String(1 + input.Byte() % 16);
    text += more;
    const bool may_stop = piece >= min_pieces;
    shown += scanner.Append(more, may_stop);
    for (size_t end = begin + 1; may_stop && end <= text.size(); ++end) {
      const std::string stop = LongestStop(text, end, stops);
      if (stop.empty()) continue;
      WINNOW_CHECK(scanner.stopped() && scanner.stop_text() == stop);
      WINNOW_CHECK(shown == text.substr(0, include ? end : end - stop.size()));
      WINNOW_CHECK(scanner.Append(text, true).empty() && scanner.Flush().empty());
      return;
    }
    WINNOW_CHECK(!scanner.stopped());
    WINNOW_CHECK(shown == text.substr(0, text.size() - HeldBack(text, stops)));
  }
  WINNOW_CHECK(shown + scanner.Flush() == text);
}

}  // namespace
}  // namespace winnow

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  winnow::Run(winnow::Bytes(data, size));
  return 0;
}
