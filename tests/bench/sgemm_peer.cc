#include "tests/bench/sgemm_peer.h"

#include <dnnl.h>

#include "kernels/check.h"

// Debian's oneDNN runs on GNU OpenMP.
extern "C" void omp_set_num_threads(int num_threads);

namespace winnow::bench {

void SetSgemmPeerThreads(int num_threads) { omp_set_num_threads(num_threads); }

void SgemmPeer(const float* x, const float* w, float* out, int64_t num_rows, int64_t num_cols,
               int64_t depth) {
  const dnnl_status_t status = dnnl_sgemm('N', 'T', num_rows, num_cols, depth, 1.0f, x, depth, w,
                                          depth, 0.0f, out, num_cols);
  WINNOW_CHECK(status == dnnl_success) << "dnnl_sgemm: status " << status;
}

}  // namespace winnow::bench
