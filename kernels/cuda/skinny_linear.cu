#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/skinny_linear.h"
#include "kernels/cuda/sm90.cuh"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
// Accesses of the weight that a lane has in flight.
constexpr int kUnroll = 4;
// Inputs of a row that lie in shared memory at a time.
constexpr int kStageInputs = 4096;
// Of a warp's row of the weight, what it asks for before x may be read. All warps that a device
// holds at once then ask for 34 MB, which its L2 cache has room for.
constexpr int64_t kPrefetchBytes = 4096;

struct SkinnyParams {
  const void* x;
  const void* weight;
  void* out;
  int64_t x_stride, out_stride;
  int num_rows, num_outputs, num_inputs;
};

// sums[r] += W . x[r] over kLanes inputs.
template <int kRows, int kLanes, typename X, typename W>
__device__ void Accumulate(const Pack<W, kLanes>& w, const X* x, int stride, float (&sums)[kRows]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const auto in = *reinterpret_cast<const Pack<X, kLanes>*>(x + r * stride);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      sums[r] = fmaf(AsFloat(w.lanes[l]), AsFloat(in.lanes[l]), sums[r]);
    }
  }
}

// Asks the L2 cache for the first of a row's inputs. The row is aligned to 16 bytes.
template <typename W>
__device__ void PrefetchRow(const W* weight, int num_inputs) {
  const int64_t bytes = min(kPrefetchBytes, num_inputs * static_cast<int64_t>(sizeof(W)));
  PrefetchBytes(weight, static_cast<uint32_t>(bytes));
}

// Grid: groups of kWarps outputs, groups of kRows rows. A warp has one output.
template <int kRows, int kLanes, typename X, typename W, typename Out>
__global__ void __launch_bounds__(kThreads) SkinnyLinearKernel(SkinnyParams p) {
  extern __shared__ __align__(16) std::byte memory[];
  X* stage = reinterpret_cast<X*>(memory);  // [kRows, stride]
  const int lane = threadIdx.x % kWarpSize;
  const int output = blockIdx.x * kWarps + threadIdx.x / kWarpSize;
  const int first_row = blockIdx.y * kRows;
  const int stride = min(kStageInputs, (p.num_inputs + 7) / 8 * 8);
  const W* weight = static_cast<const W*>(p.weight) + int64_t{output} * p.num_inputs;
  LetNextStart();
  if (kLanes > 1 && lane == 0 && output < p.num_outputs) PrefetchRow(weight, p.num_inputs);
  WaitForPrevious();
  float sums[kRows] = {};
  for (int begin = 0; begin < p.num_inputs; begin += kStageInputs) {
    const int length = min(kStageInputs, p.num_inputs - begin);
    if (begin > 0) __syncthreads();
    for (int r = 0; r < kRows; ++r) {
      const bool exists = first_row + r < p.num_rows;
      const X* x = static_cast<const X*>(p.x) + int64_t{first_row + r} * p.x_stride + begin;
      for (int i = threadIdx.x * kLanes; i < length; i += kThreads * kLanes) {
        Pack<X, kLanes> in = {};
        if (exists) in = *reinterpret_cast<const Pack<X, kLanes>*>(x + i);
        *reinterpret_cast<Pack<X, kLanes>*>(stage + r * stride + i) = in;
      }
    }
    __syncthreads();
    if (output >= p.num_outputs) continue;
    constexpr int kStep = kWarpSize * kLanes;
    int i = lane * kLanes;
    for (; i + (kUnroll - 1) * kStep < length; i += kUnroll * kStep) {
      Pack<W, kLanes> w[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        w[u] = *reinterpret_cast<const Pack<W, kLanes>*>(weight + begin + i + u * kStep);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        Accumulate<kRows>(w[u], stage + i + u * kStep, stride, sums);
      }
    }
    for (; i < length; i += kStep) {
      Accumulate<kRows>(*reinterpret_cast<const Pack<W, kLanes>*>(weight + begin + i), stage + i,
                        stride, sums);
    }
  }
  if (output >= p.num_outputs) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane == 0 && first_row + r < p.num_rows) {
      static_cast<Out*>(p.out)[int64_t{first_row + r} * p.out_stride + output] =
          FromFloat<Out>(sum);
    }
  }
}

template <int kRows, int kLanes, typename X, typename W, typename Out>
cudaError_t Launch(const SkinnyParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(CeilDiv(p.num_outputs, kWarps)),
                  static_cast<unsigned>(CeilDiv(p.num_rows, kRows)));
  const size_t shared =
      kRows * std::min<int64_t>(kStageInputs, RoundUp(p.num_inputs, 8)) * sizeof(X);
  const auto kernel = SkinnyLinearKernel<kRows, kLanes, X, W, Out>;
  if (shared > 48 << 10) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
  }
  return LaunchEarly(kernel, grid, kThreads, shared, stream, p);
}

// Whether rows of x and of the weight can be read in accesses of `lanes` elements.
bool Aligned(const LinearArgs& args, int64_t lanes) {
  const int64_t w_bytes = lanes * DTypeBytes(args.weight.dtype);
  const int64_t x_bytes = lanes * DTypeBytes(args.x.dtype);
  return args.weight.cols % lanes == 0 && args.x.row_stride % lanes == 0 &&
         reinterpret_cast<uintptr_t>(args.weight.data) % w_bytes == 0 &&
         reinterpret_cast<uintptr_t>(args.x.raw) % x_bytes == 0;
}

template <typename X, typename W, typename Out>
cudaError_t ForShape(const LinearArgs& args, const SkinnyParams& p, cudaStream_t stream) {
  constexpr int kLanes = std::min(kVectorLanes<X>, kVectorLanes<W>);
  constexpr int kRows = static_cast<int>(kSkinnyRows);
  const bool single = p.num_rows == 1;
  if (Aligned(args, kLanes)) {
    return single ? Launch<1, kLanes, X, W, Out>(p, stream)
                  : Launch<kRows, kLanes, X, W, Out>(p, stream);
  }
  return single ? Launch<1, 1, X, W, Out>(p, stream) : Launch<kRows, 1, X, W, Out>(p, stream);
}

}  // namespace

cudaError_t LaunchSkinnyLinear(const LinearArgs& args, cudaStream_t stream) {
  if (args.x.dim(0) == 0) return cudaSuccess;
  const SkinnyParams p = {.x = args.x.raw,
                          .weight = args.weight.data,
                          .out = args.out.raw,
                          .x_stride = args.x.row_stride,
                          .out_stride = args.out.row_stride,
                          .num_rows = static_cast<int>(args.x.dim(0)),
                          .num_outputs = static_cast<int>(args.weight.rows),
                          .num_inputs = static_cast<int>(args.weight.cols)};
  if (args.weight.dtype != args.x.dtype) return cudaErrorInvalidValue;
  return ForActivation(args.x.dtype, [&](auto x) {
    return ForActivation(args.out.dtype, [&](auto out) {
      using X = decltype(x);
      return ForShape<X, X, decltype(out)>(args, p, stream);
    });
  });
}

}  // namespace winnow::cuda
