// Runs a test once for every Highway target (SSE2, AVX2, AVX-512 ...) that was compiled and that
// this machine has.
//
//   ForEachTarget([] { ... EXPECT_TRUE(Near(...)); });
#ifndef WINNOW_KERNELS_TESTING_EACH_TARGET_H_
#define WINNOW_KERNELS_TESTING_EACH_TARGET_H_

#include <cstdint>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace winnow::testing {

// Makes HWY_DYNAMIC_DISPATCH take `target` until reset with 0.
inline void UseTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

template <typename Fn>
void ForEachTarget(const Fn& fn) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    UseTarget(target);
    SCOPED_TRACE(hwy::TargetName(target));
    fn();
  }
  UseTarget(0);
}

}  // namespace winnow::testing

#endif  // WINNOW_KERNELS_TESTING_EACH_TARGET_H_
