// DeparturesArgs of kernels/ops/attention.h.
//
// Exact replay, no arithmetic on scores: equal to kernels/cpu/departures.h to the bit. A block per
// (sequence, head), of which one warp replays: its lanes look at 32 departing tokens at a time, and
// together for the lowest kept score. Bytes: the plan once (8 per ring token, kept slot and row),
// 12 per kept slot and token that enters.
#ifndef WINNOW_KERNELS_CUDA_DEPARTURES_H_
#define WINNOW_KERNELS_CUDA_DEPARTURES_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

cudaError_t LaunchDepartures(const DeparturesArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_DEPARTURES_H_
