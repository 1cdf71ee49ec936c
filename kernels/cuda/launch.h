// Choices that launchers share. Host code.
#ifndef WINNOW_KERNELS_CUDA_LAUNCH_H_
#define WINNOW_KERNELS_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "kernels/dtype.h"
#include "kernels/tensor.h"

namespace winnow::cuda {

constexpr int64_t CeilDiv(int64_t n, int64_t d) { return (n + d - 1) / d; }
constexpr int64_t RoundUp(int64_t n, int64_t multiple) { return CeilDiv(n, multiple) * multiple; }

// Whole warps for `items` items of work, one each, `most` threads at most.
inline unsigned ThreadsFor(int64_t items, int64_t most) {
  return static_cast<unsigned>(std::clamp<int64_t>(RoundUp(items, 32), 32, most));
}

// The most elements, of 4, 2 and 1, that can be moved with one access in every row of all `views`:
// rows are whole multiples of it and begin aligned to it. Ranks of 0 do not count.
inline int LanesOf(std::initializer_list<TensorView> views) {
  int lanes = 4;
  for (const TensorView& view : views) {
    if (view.rank == 0) continue;
    const int64_t bytes = DTypeBytes(view.dtype);
    const auto fits = [&](int64_t n) {
      return view.RowSize() % n == 0 && view.row_stride % n == 0 &&
             reinterpret_cast<uintptr_t>(view.raw) % (n * bytes) == 0;
    };
    while (!fits(lanes)) lanes /= 2;
  }
  return lanes;
}

// Launches a kernel that begins with StartAfterPrevious (device.cuh), or calls its two halves:
// its blocks may be placed while the kernel before it in the stream still runs. Clusters are of
// `cluster_blocks` (1 .. 8) along x, of which the grid is a multiple.
template <typename... Params, typename... Args>
cudaError_t LaunchEarlyInClusters(void (*kernel)(Params...), unsigned cluster_blocks, dim3 grid,
                                  dim3 block, size_t shared_bytes, cudaStream_t stream,
                                  Args... args) {
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {.x = cluster_blocks, .y = 1, .z = 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = cluster_blocks > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
}
template <typename... Params, typename... Args>
cudaError_t LaunchEarly(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                        cudaStream_t stream, Args... args) {
  return LaunchEarlyInClusters(kernel, 1, grid, block, shared_bytes, stream, args...);
}

// Calls `launch` with a value of the type that activations of `dtype` have.
template <typename Launch>
cudaError_t ForActivation(DType dtype, const Launch& launch) {
  switch (dtype) {
    case DType::kF32:
      return launch(float{});
    case DType::kBF16:
      return launch(BF16{});
    default:
      return cudaErrorInvalidValue;
  }
}

// Calls `launch` with a compile-time number of lanes (see LanesOf).
template <typename Launch>
cudaError_t ForLanes(int lanes, const Launch& launch) {
  switch (lanes) {
    case 4:
      return launch(std::integral_constant<int, 4>());
    case 2:
      return launch(std::integral_constant<int, 2>());
    case 1:
      return launch(std::integral_constant<int, 1>());
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_LAUNCH_H_
