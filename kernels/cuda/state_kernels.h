// Launchers of EditTablesArgs and GatherCountsArgs (kernels/ops/state.h).
#ifndef WINNOW_KERNELS_CUDA_STATE_KERNELS_H_
#define WINNOW_KERNELS_CUDA_STATE_KERNELS_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/state.h"

namespace winnow::cuda {

cudaError_t LaunchEditTables(const EditTablesArgs& args, cudaStream_t stream);
cudaError_t LaunchGatherCounts(const GatherCountsArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_STATE_KERNELS_H_
