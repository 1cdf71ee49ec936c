#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/streamed_linear.cuh"
#include "kernels/cuda/streamed_linear.h"
#include "kernels/cuda/tensor_map.h"

namespace winnow::cuda {
namespace {

constexpr int64_t kRowAlignment = 16;  // bytes, for the copy engine
// What StreamedLinearSplits returns.
constexpr size_t kMostSplits = 3;
// Of a multiprocessor.
constexpr int64_t kBlocksAtOnce = 2;

bool HasAlignedRows(const void* data, int64_t row_stride) {
  return reinterpret_cast<uintptr_t>(data) % kRowAlignment == 0 &&
         row_stride * DTypeBytes(DType::kBF16) % kRowAlignment == 0;
}

template <int kRows>
cudaError_t MakeParams(const LinearArgs& args, int split, StreamedParams* p) {
  const WeightMatrix& weight = args.weight;
  const int64_t four = 4 * DTypeBytes(args.out.dtype);
  p->out = args.out.raw;
  p->out_stride = args.out.row_stride;
  p->num_rows = static_cast<int>(args.x.dim(0));
  p->num_outputs = static_cast<int>(weight.rows);
  p->num_pieces = static_cast<int>(CeilDiv(weight.cols, kBoxColumns));
  p->split = split;
  p->vector_rows =
      args.out.row_stride % 4 == 0 && reinterpret_cast<uintptr_t>(args.out.raw) % four == 0;
  const cudaError_t error = MapMatrix(
      {.data = weight.data, .rows = weight.rows, .cols = weight.cols, .row_stride = weight.cols},
      kStreamedOutputs, &p->weight);
  if (error != cudaSuccess) return error;
  return MapMatrix({.data = args.x.raw,
                    .rows = args.x.dim(0),
                    .cols = weight.cols,
                    .row_stride = args.x.row_stride},
                   kRows, &p->x);
}

template <int kRows, typename Out>
cudaError_t Launch(const LinearArgs& args, int split, cudaStream_t stream) {
  StreamedParams params;
  cudaError_t error = MakeParams<kRows>(args, split, &params);
  if (error != cudaSuccess) return error;
  const auto kernel = StreamedLinearKernel<kRows, Out>;
  constexpr uint32_t kBytes = StreamedRing<kRows>::kBytes;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) return error;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(CeilDiv(args.weight.rows, kStreamedOutputs) * split));
  return LaunchEarlyInClusters(kernel, static_cast<unsigned>(split), grid, kStreamedThreads, kBytes,
                               stream, params);
}

template <typename Out>
cudaError_t ForRows(const LinearArgs& args, int split, cudaStream_t stream) {
  const int64_t rows = args.x.dim(0);
  if (rows <= 8) return Launch<8, Out>(args, split, stream);
  if (rows <= 16) return Launch<16, Out>(args, split, stream);
  if (rows <= 32) return Launch<32, Out>(args, split, stream);
  if (rows <= 64) return Launch<64, Out>(args, split, stream);
  return Launch<128, Out>(args, split, stream);
}

}  // namespace

bool TakesStreamedLinear(const LinearArgs& args) {
  return args.x.dim(0) <= kMaxStreamedRows && args.x.dtype == DType::kBF16 &&
         args.weight.dtype == DType::kBF16 &&
         (args.out.dtype == DType::kBF16 || args.out.dtype == DType::kF32) &&
         args.weight.rows > 0 && args.weight.cols > 0 &&
         HasAlignedRows(args.x.raw, args.x.row_stride) &&
         HasAlignedRows(args.weight.data, args.weight.cols);
}

std::vector<int> StreamedLinearSplits(int64_t num_outputs, int64_t num_inputs,
                                      int num_multiprocessors) {
  const int64_t tiles = CeilDiv(num_outputs, kStreamedOutputs);
  const int64_t pieces = CeilDiv(num_inputs, kBoxColumns);
  std::vector<int> splits;
  for (const int split : {1, 2, 3, 4, 6, kMaxStreamedSplit}) {
    const bool at_once = tiles * split <= kBlocksAtOnce * num_multiprocessors;
    if (split == 1 || (at_once && split <= pieces)) splits.push_back(split);
  }
  // Pieces that the busiest multiprocessor reads.
  const auto busiest = [&](int split) {
    return CeilDiv(tiles * split, num_multiprocessors) * CeilDiv(pieces, split);
  };
  std::stable_sort(splits.begin(), splits.end(),
                   [&](int a, int b) { return busiest(a) < busiest(b); });
  splits.resize(std::min(splits.size(), kMostSplits));
  return splits;
}

cudaError_t LaunchStreamedLinear(const LinearArgs& args, int split, cudaStream_t stream) {
  if (args.x.dim(0) == 0) return cudaSuccess;
  if (!TakesStreamedLinear(args) || split < 1 || split > kMaxStreamedSplit) {
    return cudaErrorInvalidValue;
  }
  return ForActivation(args.out.dtype,
                       [&](auto out) { return ForRows<decltype(out)>(args, split, stream); });
}

}  // namespace winnow::cuda
