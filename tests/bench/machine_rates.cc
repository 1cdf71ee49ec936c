#include "tests/bench/machine_rates.h"

#include <algorithm>
#include <atomic>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/machine_rates.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::bench::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

uint32_t Read(const std::byte* from, int64_t size) {
  const hn::ScalableTag<uint32_t> d;
  const int64_t lanes = hn::Lanes(d);
  const uint32_t* p = reinterpret_cast<const uint32_t*>(from);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i + 4 * lanes <= size / 4; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, p + i));
    s1 = hn::Add(s1, hn::LoadU(d, p + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, p + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, p + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// 12 independent chains hide the latency of every known core.
int64_t MultiplyAddOnce(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999f), b = hn::Set(d, 1e-6f);
  hn::Vec<decltype(d)> c[kChains];
  HWY_UNROLL(12)
  for (int i = 0; i < kChains; ++i) c[i] = hn::Set(d, static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (int i = 0; i < kChains; ++i) c[i] = hn::MulAdd(c[i], a, b);
  }
  auto sum = c[0];
  HWY_UNROLL(12)
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, c[i]);
  *sink = hn::GetLane(sum);
  return rounds * kChains * static_cast<int64_t>(hn::Lanes(d));
}

}  // namespace winnow::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::bench {

HWY_EXPORT(Read);
HWY_EXPORT(MultiplyAddOnce);

uint32_t ReadAll(cpu::ThreadPool& pool, std::span<const std::byte> memory) {
  constexpr int64_t kTaskBytes = 1 << 20;
  const int64_t size = memory.size();
  std::atomic<uint32_t> sum{0};
  pool.Run((size + kTaskBytes - 1) / kTaskBytes, [&](int64_t task, int) {
    const int64_t begin = task * kTaskBytes;
    sum += HWY_DYNAMIC_DISPATCH(Read)(memory.data() + begin, std::min(kTaskBytes, size - begin));
  });
  return sum;
}

int64_t MultiplyAdd(cpu::ThreadPool& pool, int64_t rounds) {
  std::atomic<int64_t> count{0};
  pool.Run(pool.num_threads(), [&](int64_t, int) {
    volatile float kept;
    float sink;
    count += HWY_DYNAMIC_DISPATCH(MultiplyAddOnce)(rounds, &sink);
    kept = sink;
    (void)kept;
  });
  return count;
}

}  // namespace winnow::bench
#endif  // HWY_ONCE
