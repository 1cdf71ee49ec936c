// WINNOW_CHECK: for broken invariants of our own code only. Bad input (requests, files, flags) is
// an absl::Status, never a CHECK. Prints file, line, condition and the streamed message, then
// aborts.
//
//   WINNOW_CHECK(page < num_pages_) << "page " << page << " of " << num_pages_;
#ifndef WINNOW_KERNELS_CHECK_H_
#define WINNOW_KERNELS_CHECK_H_

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace winnow {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition) {
    message_ << file << ":" << line << ": CHECK failed: " << condition << " ";
  }
  [[noreturn]] ~CheckFailure() {
    std::fprintf(stderr, "%s\n", message_.str().c_str());
    std::abort();
  }
  std::ostream& stream() { return message_; }

 private:
  std::ostringstream message_;
};

// Gives the streaming expression type void, so that both branches of ?: agree.
struct CheckVoidify {
  void operator&(std::ostream&) {}
};

}  // namespace winnow

#define WINNOW_CHECK(condition) \
  (condition)                   \
      ? static_cast<void>(0)    \
      : ::winnow::CheckVoidify() & ::winnow::CheckFailure(__FILE__, __LINE__, #condition).stream()

#endif  // WINNOW_KERNELS_CHECK_H_
