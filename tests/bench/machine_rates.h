// What this machine can do at most, measured: the denominators of the benchmarks.
#ifndef WINNOW_TESTS_BENCH_MACHINE_RATES_H_
#define WINNOW_TESTS_BENCH_MACHINE_RATES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/thread_pool.h"

namespace winnow::bench {

// Sums the memory as 32-bit integers with every thread of the pool: a plain read of all of it,
// once.
uint32_t ReadAll(cpu::ThreadPool& pool, std::span<const std::byte> memory);

// float32 multiply-adds in registers, `rounds` times on each thread. Returns their number.
int64_t MultiplyAdd(cpu::ThreadPool& pool, int64_t rounds);

}  // namespace winnow::bench

#endif  // WINNOW_TESTS_BENCH_MACHINE_RATES_H_
