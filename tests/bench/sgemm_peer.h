// oneDNN's float32 matrix product, as the peer that Linear is compared with.
#ifndef WINNOW_TESTS_BENCH_SGEMM_PEER_H_
#define WINNOW_TESTS_BENCH_SGEMM_PEER_H_

#include <cstdint>

namespace winnow::bench {

// Threads of every later SgemmPeer. They keep spinning for some milliseconds after each call.
void SetSgemmPeerThreads(int num_threads);

// out[t, n] = x[t, k] w[n, k]^T, all row-major and contiguous.
void SgemmPeer(const float* x, const float* w, float* out, int64_t num_rows, int64_t num_cols,
               int64_t depth);

}  // namespace winnow::bench

#endif  // WINNOW_TESTS_BENCH_SGEMM_PEER_H_
