#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/write_kv.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;

struct WriteParams {
  RaggedBatch batch;
  LayerPages pages;
  const int64_t* source;  // [B, Hkv, K], or null
  int64_t buffer_size;
  int64_t k_stride, v_stride;
};

// The keys and values of one sequence and head. Elements are handed out to the block's threads, D
// to each token.
template <typename T>
class HeadWriter {
 public:
  __device__ HeadWriter(const WriteParams& p, const T* k, const T* v, int sequence, int head)
      : p_(p),
        slot_(p.batch.slots[sequence]),
        pages_(p.pages, slot_, head),
        first_row_(p.batch.row_offsets[sequence]),
        num_rows_(p.batch.row_offsets[sequence + 1] - first_row_),
        first_position_(num_rows_ > 0 ? p.batch.positions[first_row_] : 0),
        head_dim_(static_cast<int>(p.pages.head_dim)),
        k_(k + first_row_ * p.k_stride + head * p.pages.head_dim),
        v_(v + first_row_ * p.v_stride + head * p.pages.head_dim) {}

  __device__ int num_rows() const { return num_rows_; }

  __device__ void WriteSurvivors(const int64_t* source) const {
    for (int64_t i = threadIdx.x; i < p_.buffer_size * head_dim_; i += blockDim.x) {
      const int64_t place = i / head_dim_;
      const int64_t from = source[place];
      if (from == kUnchanged) continue;
      T* to = Place(pages_.Kept(static_cast<uint32_t>(place)));
      const int d = static_cast<int>(i % head_dim_);
      if (from >= first_position_) {
        CopyOwn(from - first_position_, to, d);
      } else {
        const T* key = pages_.Key(pages_.Ring(static_cast<uint32_t>(from % p_.pages.ring_tokens)));
        Copy(key, key + pages_.value_offset(), to, d);
      }
    }
  }

  __device__ void WriteRing() const {
    const int64_t begin = max(int64_t{0}, num_rows_ - p_.pages.ring_tokens);
    for (int64_t i = threadIdx.x; i < (num_rows_ - begin) * head_dim_; i += blockDim.x) {
      const int64_t row = begin + i / head_dim_;
      const int64_t place = (first_position_ + row) % p_.pages.ring_tokens;
      CopyOwn(row, Place(pages_.Ring(static_cast<uint32_t>(place))),
              static_cast<int>(i % head_dim_));
    }
  }

 private:
  __device__ T* Place(PagePlace place) const {
    if (place.page == 0 && slot_ != 0) __trap();
    return pages_.Key(place);
  }
  __device__ void CopyOwn(int64_t row, T* to, int d) const {
    Copy(k_ + row * p_.k_stride, v_ + row * p_.v_stride, to, d);
  }
  __device__ void Copy(const T* key, const T* value, T* to, int d) const {
    to[d] = key[d];
    to[pages_.value_offset() + d] = value[d];
  }

  const WriteParams& p_;
  const int32_t slot_;
  const HeadPages<T> pages_;
  const int64_t first_row_;
  const int num_rows_;
  const int64_t first_position_;
  const int head_dim_;
  const T* k_;
  const T* v_;
};

// Grid: sequences, heads. Survivors go first: ring tokens take the places of some of them.
template <typename T>
__global__ void WriteKvKernel(WriteParams p, const T* k, const T* v) {
  const HeadWriter<T> writer(p, k, v, blockIdx.x, blockIdx.y);
  if (writer.num_rows() == 0) return;
  if (p.source != nullptr) {
    writer.WriteSurvivors(p.source +
                          (int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * p.buffer_size);
    __syncthreads();
  }
  writer.WriteRing();
}

}  // namespace

cudaError_t LaunchWriteKv(const WriteKvArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  if (args.k.dtype != args.pages.dtype) return cudaErrorInvalidValue;
  const WriteParams p = {.batch = args.batch,
                         .pages = args.pages,
                         .source = args.plan == nullptr ? nullptr : args.plan->source,
                         .buffer_size = args.buffer_size,
                         .k_stride = args.k.row_stride,
                         .v_stride = args.v.row_stride};
  const dim3 grid(static_cast<unsigned>(args.batch.num_sequences),
                  static_cast<unsigned>(args.pages.num_kv_heads));
  return ForActivation(args.k.dtype, [&](auto element) {
    using T = decltype(element);
    WriteKvKernel<T><<<grid, kThreads, 0, stream>>>(p, args.k.data<T>(), args.v.data<T>());
    return cudaGetLastError();
  });
}

}  // namespace winnow::cuda
