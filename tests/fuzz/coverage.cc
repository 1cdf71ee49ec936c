// Coverage for libFuzzer from code that g++ instruments with -fsanitize-coverage=trace-pc, which
// libFuzzer itself no longer takes: each block that runs counts in one of its "extra counters"
// (https://llvm.org/docs/LibFuzzer.html, "Value Profile" and FuzzerExtraCounters.cpp). The linker
// sends the compiler's calls here (--wrap).
//
// Threads race on the counters; a lost count is harmless.
#include <cstdint>

namespace {

constexpr int kCounterBits = 16;
__attribute__((section("__libfuzzer_extra_counters"))) uint8_t counters[1 << kCounterBits];

}  // namespace

extern "C"
    __attribute__((no_sanitize_coverage, no_sanitize("address"), no_sanitize("undefined"))) void
    __wrap___sanitizer_cov_trace_pc() {
  // The address of the block, spread over the counters by Fibonacci hashing.
  const auto block = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& counter = counters[(block * 0x9e3779b97f4a7c15) >> (64 - kCounterBits)];
  if (counter < 255) ++counter;
}

// Comparisons of floating-point numbers, which libFuzzer does not look at.
extern "C" void __sanitizer_cov_trace_cmpf(float, float) {}
extern "C" void __sanitizer_cov_trace_cmpd(double, double) {}
