#include <cstdint>
#include <type_traits>

#include "kernels/cuda/dense_kernels.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/drawn_token.h"

namespace winnow::cuda {
namespace {

constexpr int kRowThreads = 256;      // of a block that works on one row
constexpr int kElementThreads = 256;  // of a block of independent elements

// Which row of its input an output row is.
struct RowIndex {
  const int32_t* rows;
  __device__ int64_t operator()(unsigned t) const { return rows[t]; }
};
struct TokenIndex {
  const uint32_t* tokens;
  const uint32_t* drawn;
  __device__ int64_t operator()(unsigned t) const { return TokenId(tokens[t], drawn); }
};

// One block copies one row: out[t] = x[index(t)], in another element type if need be.
template <int kLanes, typename From, typename To, typename Index>
__global__ void CopyRowsKernel(const From* x, int64_t x_stride, Index index, To* out,
                               int64_t out_stride, int64_t size) {
  StartAfterPrevious();
  const From* from = x + index(blockIdx.x) * x_stride;
  To* to = out + blockIdx.x * out_stride;
  for (int64_t i = threadIdx.x * kLanes; i < size; i += blockDim.x * kLanes) {
    const auto in = *reinterpret_cast<const Pack<From, kLanes>*>(from + i);
    Pack<To, kLanes> result;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) result.lanes[l] = FromFloat<To>(AsFloat(in.lanes[l]));
    *reinterpret_cast<Pack<To, kLanes>*>(to + i) = result;
  }
}

// One block normalises one row. The thread that wrote an element of x is the one that reads it
// again.
template <int kLanes, typename T>
__global__ void RmsNormKernel(float* x, int64_t x_stride, const T* delta, int64_t delta_stride,
                              const float* weight, float eps, T* out, int64_t out_stride,
                              int64_t size) {
  __shared__ float partials[kWarpSize];
  StartAfterPrevious();
  float* row = x + blockIdx.x * x_stride;
  float squares = 0;
  for (int64_t i = threadIdx.x * kLanes; i < size; i += blockDim.x * kLanes) {
    auto values = *reinterpret_cast<const Pack<float, kLanes>*>(row + i);
    if (delta != nullptr) {
      const auto add =
          *reinterpret_cast<const Pack<T, kLanes>*>(delta + blockIdx.x * delta_stride + i);
#pragma unroll
      for (int l = 0; l < kLanes; ++l) values.lanes[l] += AsFloat(add.lanes[l]);
      *reinterpret_cast<Pack<float, kLanes>*>(row + i) = values;
    }
#pragma unroll
    for (int l = 0; l < kLanes; ++l) squares += values.lanes[l] * values.lanes[l];
  }
  const float scale = rsqrtf(BlockSum(squares, partials) / static_cast<float>(size) + eps);
  for (int64_t i = threadIdx.x * kLanes; i < size; i += blockDim.x * kLanes) {
    const auto values = *reinterpret_cast<const Pack<float, kLanes>*>(row + i);
    Pack<T, kLanes> result;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      result.lanes[l] = FromFloat<T>(values.lanes[l] * scale * weight[i + l]);
    }
    *reinterpret_cast<Pack<T, kLanes>*>(out + blockIdx.x * out_stride + i) = result;
  }
}

// One thread per angle.
__global__ void RopeTableKernel(const int64_t* positions, double theta, float* cos_sin,
                                int64_t row_stride, int64_t num_tokens, int half) {
  StartAfterPrevious();
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (index >= num_tokens * half) return;
  const int64_t t = index / half;
  const int i = static_cast<int>(index % half);
  const double frequency = pow(theta, -static_cast<double>(i) / half);
  double sine, cosine;
  sincos(static_cast<double>(positions[t]) * frequency, &sine, &cosine);
  cos_sin[t * row_stride + i] = static_cast<float>(cosine);
  cos_sin[t * row_stride + half + i] = static_cast<float>(sine);
}

// One thread per pair of elements.
template <typename T>
__global__ void RopeKernel(const float* cos_sin, int64_t cos_sin_stride, T* x, int64_t x_stride,
                           int64_t num_tokens, int num_heads, int half) {
  StartAfterPrevious();
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t per_token = int64_t{num_heads} * half;
  if (index >= num_tokens * per_token) return;
  const int64_t t = index / per_token;
  const int64_t head = index % per_token / half;
  const int i = static_cast<int>(index % half);
  const float cosine = cos_sin[t * cos_sin_stride + i];
  const float sine = cos_sin[t * cos_sin_stride + half + i];
  T* first = x + t * x_stride + head * 2 * half + i;
  const float a = AsFloat(first[0]), b = AsFloat(first[half]);
  first[0] = FromFloat<T>(a * cosine - b * sine);
  first[half] = FromFloat<T>(b * cosine + a * sine);
}

// out = silu(gate) * up, or silu(gate) without up. One thread per kLanes elements.
template <int kLanes, typename T>
__global__ void SwiGluKernel(const T* gate, int64_t gate_stride, const T* up, int64_t up_stride,
                             T* out, int64_t out_stride, int64_t size) {
  StartAfterPrevious();
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kLanes;
  if (i >= size) return;
  const int64_t t = blockIdx.y;
  const auto g = *reinterpret_cast<const Pack<T, kLanes>*>(gate + t * gate_stride + i);
  Pack<T, kLanes> u;
  if (up != nullptr) u = *reinterpret_cast<const Pack<T, kLanes>*>(up + t * up_stride + i);
  Pack<T, kLanes> result;
#pragma unroll
  for (int l = 0; l < kLanes; ++l) {
    const float factor = up == nullptr ? 1.0f : AsFloat(u.lanes[l]);
    result.lanes[l] = FromFloat<T>(SiluOf(AsFloat(g.lanes[l])) * factor);
  }
  *reinterpret_cast<Pack<T, kLanes>*>(out + t * out_stride + i) = result;
}

// One warp per token and head.
template <int kLanes, typename T>
__global__ void GatedRmsNormKernel(T* o, int64_t o_stride, const float* weight, float eps,
                                   const T* gate, int64_t gate_stride, int64_t num_tokens,
                                   int num_heads, int size) {
  StartAfterPrevious();
  const int64_t index = int64_t{blockIdx.x} * (blockDim.x / kWarpSize) + threadIdx.x / kWarpSize;
  if (index >= num_tokens * num_heads) return;
  const int lane = threadIdx.x % kWarpSize;
  const int64_t t = index / num_heads, head = index % num_heads;
  T* values = o + t * o_stride + head * size;
  float squares = 0;
  for (int i = lane * kLanes; i < size; i += kWarpSize * kLanes) {
    const auto in = *reinterpret_cast<const Pack<T, kLanes>*>(values + i);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) squares += AsFloat(in.lanes[l]) * AsFloat(in.lanes[l]);
  }
  const float scale = rsqrtf(WarpSum(squares) / static_cast<float>(size) + eps);
  for (int i = lane * kLanes; i < size; i += kWarpSize * kLanes) {
    auto in = *reinterpret_cast<const Pack<T, kLanes>*>(values + i);
    Pack<T, kLanes> g;
    if (gate != nullptr) {
      g = *reinterpret_cast<const Pack<T, kLanes>*>(gate + t * gate_stride + head * size + i);
    }
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      const float factor = gate == nullptr ? 1.0f : SiluOf(AsFloat(g.lanes[l]));
      in.lanes[l] = FromFloat<T>(AsFloat(in.lanes[l]) * scale * weight[i + l] * factor);
    }
    *reinterpret_cast<Pack<T, kLanes>*>(values + i) = in;
  }
}

template <typename T>
__global__ void AddBiasKernel(T* out, int64_t out_stride, const float* bias, int64_t size) {
  StartAfterPrevious();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  T& value = out[blockIdx.y * out_stride + i];
  value = FromFloat<T>(AsFloat(value) + bias[i]);
}

// Grids whose y dimension is the token: CUDA allows 65,535 there, so rows come in slices.
constexpr int64_t kMaxGridRows = 65535;

template <typename Launch>
cudaError_t ForRowSlices(int64_t num_rows, const Launch& launch) {
  for (int64_t row = 0; row < num_rows; row += kMaxGridRows) {
    const auto rows = static_cast<unsigned>(std::min(kMaxGridRows, num_rows - row));
    if (const cudaError_t error = launch(row, rows); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <typename From, typename To, typename Index>
cudaError_t CopyRows(const TensorView& x, const Index& index, const TensorView& out,
                     cudaStream_t stream) {
  return ForLanes(LanesOf({x, out}), [&](auto lanes) {
    const int64_t size = out.RowSize();
    return LaunchEarly(CopyRowsKernel<lanes.value, From, To, Index>,
                       static_cast<unsigned>(out.dim(0)),
                       ThreadsFor(size / lanes.value, kRowThreads), 0, stream, x.data<From>(),
                       x.row_stride, index, out.data<To>(), out.row_stride, size);
  });
}

template <typename T>
cudaError_t SwiGlu(const TensorView& gate, const T* up, int64_t up_stride, const TensorView& out,
                   int lanes, cudaStream_t stream) {
  return ForLanes(lanes, [&](auto lanes) {
    const int64_t items = out.RowSize() / lanes.value;
    const unsigned threads = ThreadsFor(items, kElementThreads);
    return ForRowSlices(out.dim(0), [&](int64_t row, unsigned rows) {
      const dim3 grid(static_cast<unsigned>(CeilDiv(items, threads)), rows);
      return LaunchEarly(SwiGluKernel<lanes.value, T>, grid, threads, 0, stream, gate.row<T>(row),
                         gate.row_stride, up == nullptr ? nullptr : up + row * up_stride, up_stride,
                         out.row<T>(row), out.row_stride, out.RowSize());
    });
  });
}

}  // namespace

cudaError_t LaunchEmbed(const EmbedArgs& args, cudaStream_t stream) {
  if (args.out.dim(0) == 0) return cudaSuccess;
  const TensorView table = TensorView::Of(const_cast<void*>(args.table.data), args.table.dtype,
                                          {args.table.rows, args.table.cols});
  return ForActivation(table.dtype, [&](auto from) {
    return ForActivation(args.out.dtype, [&](auto to) {
      return CopyRows<decltype(from), decltype(to)>(table, TokenIndex{args.tokens, args.drawn},
                                                    args.out, stream);
    });
  });
}

cudaError_t LaunchRmsNorm(const RmsNormArgs& args, cudaStream_t stream) {
  if (args.x.dim(0) == 0) return cudaSuccess;
  return ForActivation(args.out.dtype, [&](auto element) {
    using T = decltype(element);
    return ForLanes(LanesOf({args.x, args.delta, args.out}), [&](auto lanes) {
      const int64_t size = args.x.RowSize();
      const T* delta = args.delta.rank == 0 ? nullptr : args.delta.data<T>();
      return LaunchEarly(RmsNormKernel<lanes.value, T>, static_cast<unsigned>(args.x.dim(0)),
                         ThreadsFor(size / lanes.value, kRowThreads), 0, stream,
                         args.x.data<float>(), args.x.row_stride, delta, args.delta.row_stride,
                         args.weight, args.eps, args.out.data<T>(), args.out.row_stride, size);
    });
  });
}

cudaError_t LaunchRopeTable(const RopeTableArgs& args, cudaStream_t stream) {
  const int64_t num_tokens = args.cos_sin.dim(0);
  const int64_t half = args.cos_sin.dim(2);
  if (num_tokens * half == 0) return cudaSuccess;
  return LaunchEarly(
      RopeTableKernel, static_cast<unsigned>(CeilDiv(num_tokens * half, kElementThreads)),
      kElementThreads, 0, stream, args.positions, args.theta, args.cos_sin.data<float>(),
      args.cos_sin.row_stride, num_tokens, static_cast<int>(half));
}

cudaError_t LaunchRope(const RopeArgs& args, cudaStream_t stream) {
  const int64_t num_tokens = args.x.dim(0), num_heads = args.x.dim(1), half = args.x.dim(2) / 2;
  const int64_t pairs = num_tokens * num_heads * half;
  if (pairs == 0) return cudaSuccess;
  return ForActivation(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return LaunchEarly(RopeKernel<T>, static_cast<unsigned>(CeilDiv(pairs, kElementThreads)),
                       kElementThreads, 0, stream, args.cos_sin.data<float>(),
                       args.cos_sin.row_stride, args.x.data<T>(), args.x.row_stride, num_tokens,
                       static_cast<int>(num_heads), static_cast<int>(half));
  });
}

cudaError_t LaunchSwiGlu(const SwiGluArgs& args, cudaStream_t stream) {
  return ForActivation(args.out.dtype, [&](auto element) {
    using T = decltype(element);
    return SwiGlu<T>(args.gate, args.up.data<T>(), args.up.row_stride, args.out,
                     LanesOf({args.gate, args.up, args.out}), stream);
  });
}

cudaError_t LaunchSilu(const SiluArgs& args, cudaStream_t stream) {
  return ForActivation(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return SwiGlu<T>(args.x, nullptr, 0, args.x, LanesOf({args.x}), stream);
  });
}

cudaError_t LaunchGatedRmsNorm(const GatedRmsNormArgs& args, cudaStream_t stream) {
  const int64_t num_tokens = args.o.dim(0), num_heads = args.o.dim(1), size = args.o.dim(2);
  if (num_tokens == 0) return cudaSuccess;
  return ForActivation(args.o.dtype, [&](auto element) {
    using T = decltype(element);
    // A head begins where lanes do.
    const int lanes = size % 4 == 0 ? LanesOf({args.o, args.gate}) : 1;
    return ForLanes(lanes, [&](auto lanes) {
      constexpr int kWarps = kRowThreads / kWarpSize;
      const T* gate = args.gate.rank == 0 ? nullptr : args.gate.data<T>();
      return LaunchEarly(GatedRmsNormKernel<lanes.value, T>,
                         static_cast<unsigned>(CeilDiv(num_tokens * num_heads, kWarps)),
                         kRowThreads, 0, stream, args.o.data<T>(), args.o.row_stride, args.weight,
                         args.eps, gate, args.gate.row_stride, num_tokens,
                         static_cast<int>(num_heads), static_cast<int>(size));
    });
  });
}

cudaError_t LaunchGatherRows(const GatherRowsArgs& args, cudaStream_t stream) {
  if (args.out.dim(0) == 0) return cudaSuccess;
  return ForActivation(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return CopyRows<T, T>(args.x, RowIndex{args.rows}, args.out, stream);
  });
}

cudaError_t LaunchAddBias(const TensorView& out, const float* bias, cudaStream_t stream) {
  return ForActivation(out.dtype, [&](auto element) {
    using T = decltype(element);
    const unsigned blocks = static_cast<unsigned>(CeilDiv(out.RowSize(), kElementThreads));
    return ForRowSlices(out.dim(0), [&](int64_t row, unsigned rows) {
      return LaunchEarly(AddBiasKernel<T>, dim3(blocks, rows), kElementThreads, 0, stream,
                         out.row<T>(row), out.row_stride, bias, out.RowSize());
    });
  });
}

}  // namespace winnow::cuda
