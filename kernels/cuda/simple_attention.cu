#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/simple_attention.h"

namespace winnow::cuda {
namespace {

constexpr int kMaxWarps = 8;  // of a block: query heads of one kv head

struct AttentionParams {
  RaggedBatch batch;
  LayerPages pages;
  const void* q;
  const void* k;
  const void* v;
  void* out;
  int64_t q_stride, k_stride, v_stride, out_stride;
  int64_t span;
  bool has_plan;
  KeptPlan plan;
  int64_t buffer_size;
  int heads_per_kv;
  float scale;  // D^-1/2
};

template <typename T>
struct KeyRef {
  const T* key = nullptr;  // null: the query does not see it
  const T* value = nullptr;
};

// The keys that one query may see in one kv head, by index: kept slots, ring tokens by position,
// the step's own tokens up to the query.
template <typename T>
class QueryKeys {
 public:
  __device__ QueryKeys(const AttentionParams& p, int sequence, int head, int row)
      : p_(p),
        head_(head),
        pages_(p.pages, p.batch.slots[sequence], head),
        first_row_(p.batch.row_offsets[sequence]),
        first_position_(p.batch.positions[first_row_]),
        query_(first_position_ + row) {
    const int64_t list = int64_t{sequence} * p.pages.num_kv_heads + head;
    // Without a plan a query no longer sees what is `span` before it; with one it may be kept.
    int64_t reach = p.span;
    if (p.has_plan) {
      num_kept_ = p.plan.kept_before[list];
      kept_expiry_ = p.plan.kept_expiry + list * p.buffer_size;
      ring_expiry_ = p.plan.ring_expiry + list * p.span;
    } else {
      --reach;
    }
    ring_begin_ = max(int64_t{0}, first_position_ - min(reach, p.pages.ring_tokens));
    num_ring_ = static_cast<int>(first_position_ - ring_begin_);
    size_ = num_kept_ + num_ring_ + row + 1;
  }

  __device__ int size() const { return size_; }

  __device__ KeyRef<T> At(int index) const {
    if (index < num_kept_) {
      if (query_ >= kept_expiry_[index]) return {};
      return InPages(pages_.Kept(index));
    }
    index -= num_kept_;
    if (index < num_ring_) {
      const int64_t position = ring_begin_ + index;
      if (!IsBefore(p_.has_plan ? &ring_expiry_[position % p_.span] : nullptr, position)) return {};
      return InPages(pages_.Ring(static_cast<uint32_t>(position % p_.pages.ring_tokens)));
    }
    const int64_t row = first_row_ + index - num_ring_;
    const int64_t* expiry =
        p_.has_plan ? &p_.plan.chunk_expiry[row * p_.pages.num_kv_heads + head_] : nullptr;
    if (!IsBefore(expiry, first_position_ + index - num_ring_)) return {};
    const int64_t offset = head_ * p_.pages.head_dim;
    return {static_cast<const T*>(p_.k) + row * p_.k_stride + offset,
            static_cast<const T*>(p_.v) + row * p_.v_stride + offset};
  }

 private:
  // Whether the query comes before the expiry of a key; without one it is position + span.
  __device__ bool IsBefore(const int64_t* expiry, int64_t position) const {
    return expiry != nullptr ? query_ < *expiry : query_ - position < p_.span;
  }
  __device__ KeyRef<T> InPages(PagePlace place) const {
    const T* key = pages_.Key(place);
    return {key, key + pages_.value_offset()};
  }

  const AttentionParams& p_;
  const int head_;
  const HeadPages<const T> pages_;
  const int64_t first_row_, first_position_, query_;
  int num_kept_ = 0, num_ring_ = 0, size_ = 0;
  int64_t ring_begin_ = 0;
  const int64_t* kept_expiry_ = nullptr;
  const int64_t* ring_expiry_ = nullptr;
};

template <typename T>
__device__ float Dot(const float* q, const T* key, int size) {
  float sum = 0;
  for (int d = 0; d < size; ++d) sum = fmaf(q[d], AsFloat(key[d]), sum);
  return sum;
}

// Grid: rows of the longest sequence, kv heads (times groups of kMaxWarps query heads), sequences.
// kLaneDims: elements of the head that a lane accumulates, D / 32 rounded up at most.
template <int kLaneDims, typename T>
__global__ void SimpleAttentionKernel(AttentionParams p) {
  extern __shared__ float queries[];  // [warps, D]
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int num_warps = blockDim.x / kWarpSize;
  const int groups = (p.heads_per_kv + num_warps - 1) / num_warps;
  const int kv_head = blockIdx.y / groups;
  const int in_group = blockIdx.y % groups * num_warps + warp;
  const int row = blockIdx.x, sequence = blockIdx.z;
  const int first_row = p.batch.row_offsets[sequence];
  if (row >= p.batch.row_offsets[sequence + 1] - first_row || in_group >= p.heads_per_kv) return;

  const int head_dim = static_cast<int>(p.pages.head_dim);
  const int64_t offset = (int64_t{kv_head} * p.heads_per_kv + in_group) * head_dim;
  const T* q = static_cast<const T*>(p.q) + (int64_t{first_row} + row) * p.q_stride + offset;
  float* query = queries + warp * head_dim;
  for (int d = lane; d < head_dim; d += kWarpSize) query[d] = AsFloat(q[d]) * p.scale;
  __syncwarp();

  const QueryKeys<T> keys(p, sequence, kv_head, row);
  float sums[kLaneDims] = {};
  float most = -INFINITY, total = 0;
  for (int begin = 0; begin < keys.size(); begin += kWarpSize) {
    const KeyRef<T> ref = begin + lane < keys.size() ? keys.At(begin + lane) : KeyRef<T>();
    const float score = ref.key == nullptr ? -INFINITY : Dot(query, ref.key, head_dim);
    const float new_most = fmaxf(most, WarpMax(score));
    if (new_most == -INFINITY) continue;
    const float weight = expf(score - new_most);
    const float keep = expf(most - new_most);
    total = total * keep + WarpSum(weight);
    most = new_most;
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) sums[i] *= keep;
    for (unsigned seen = __ballot_sync(kFullWarp, ref.key != nullptr); seen != 0;
         seen &= seen - 1) {
      const int from = __ffs(seen) - 1;
      const float w = __shfl_sync(kFullWarp, weight, from);
      const T* value = reinterpret_cast<const T*>(
          __shfl_sync(kFullWarp, reinterpret_cast<unsigned long long>(ref.value), from));
#pragma unroll
      for (int i = 0; i < kLaneDims; ++i) {
        const int d = lane + i * kWarpSize;
        if (d < head_dim) sums[i] = fmaf(w, AsFloat(value[d]), sums[i]);
      }
    }
  }
  T* out = static_cast<T*>(p.out) + (int64_t{first_row} + row) * p.out_stride + offset;
#pragma unroll
  for (int i = 0; i < kLaneDims; ++i) {
    const int d = lane + i * kWarpSize;
    if (d < head_dim) out[d] = FromFloat<T>(sums[i] / total);
  }
}

template <typename T>
cudaError_t Launch(const AttentionParams& p, cudaStream_t stream) {
  const int warps = std::min(p.heads_per_kv, kMaxWarps);
  const int64_t head_dim = p.pages.head_dim;
  const dim3 grid(static_cast<unsigned>(p.batch.max_tokens_per_sequence),
                  static_cast<unsigned>(p.pages.num_kv_heads * CeilDiv(p.heads_per_kv, warps)),
                  static_cast<unsigned>(p.batch.num_sequences));
  const unsigned threads = warps * kWarpSize;
  const size_t shared = warps * head_dim * sizeof(float);
  if (head_dim <= 64) {
    SimpleAttentionKernel<2, T><<<grid, threads, shared, stream>>>(p);
  } else if (head_dim <= 128) {
    SimpleAttentionKernel<4, T><<<grid, threads, shared, stream>>>(p);
  } else if (head_dim <= kMaxSimpleHeadDim) {
    SimpleAttentionKernel<kMaxSimpleHeadDim / kWarpSize, T><<<grid, threads, shared, stream>>>(p);
  } else {
    return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchSimpleAttention(const AttentionArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  for (const DType dtype : {args.k.dtype, args.v.dtype, args.out.dtype, args.pages.dtype}) {
    if (dtype != args.q.dtype) return cudaErrorInvalidValue;
  }
  const AttentionParams p = {
      .batch = args.batch,
      .pages = args.pages,
      .q = args.q.raw,
      .k = args.k.raw,
      .v = args.v.raw,
      .out = args.out.raw,
      .q_stride = args.q.row_stride,
      .k_stride = args.k.row_stride,
      .v_stride = args.v.row_stride,
      .out_stride = args.out.row_stride,
      .span = args.span,
      .has_plan = args.plan != nullptr,
      .plan = args.plan != nullptr ? *args.plan : KeptPlan(),
      .buffer_size = args.buffer_size,
      .heads_per_kv = static_cast<int>(args.q.dim(1) / args.pages.num_kv_heads),
      .scale = 1.0f / std::sqrt(static_cast<float>(args.pages.head_dim))};
  return ForActivation(args.q.dtype,
                       [&](auto element) { return Launch<decltype(element)>(p, stream); });
}

}  // namespace winnow::cuda
