// Runs a test once for every Highway target (SSE2, AVX2, AVX-512 ...) that was compiled and that
// this machine has.
//
//   ForEachTarget([] { ... EXPECT_TRUE(Near(...)); });
//   ForEachTarget([](int64_t target) { ... LanesOf(target) ... });
#ifndef WINNOW_KERNELS_TESTING_EACH_TARGET_H_
#define WINNOW_KERNELS_TESTING_EACH_TARGET_H_

#include <cstdint>
#include <type_traits>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace winnow::testing {

// Makes HWY_DYNAMIC_DISPATCH take `target` until reset with 0.
inline void UseTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// float32 lanes of a vector.
inline int LanesOf(int64_t target) {
  if (target <= HWY_AVX3) return 16;
  if (target <= HWY_AVX2) return 8;
  return target == HWY_SCALAR ? 1 : 4;
}

template <typename Fn>
void ForEachTarget(const Fn& fn) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    UseTarget(target);
    SCOPED_TRACE(hwy::TargetName(target));
    if constexpr (std::is_invocable_v<Fn, int64_t>) {
      fn(target);
    } else {
      fn();
    }
  }
  UseTarget(0);
}

}  // namespace winnow::testing

#endif  // WINNOW_KERNELS_TESTING_EACH_TARGET_H_
