#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/write_kv.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

struct WriteParams {
  RaggedBatch batch;
  LayerPages pages;
  const int64_t* source;  // [B, Hkv, K], or null
  int64_t buffer_size;
  int64_t k_stride, v_stride;
};

// The keys and values of one sequence and head. A warp moves a token at a time, kLanes elements a
// lane.
template <int kLanes, typename T>
class HeadWriter {
 public:
  __device__ HeadWriter(const WriteParams& p, const T* k, const T* v, int sequence, int head)
      : p_(p),
        lane_(threadIdx.x % kWarpSize),
        warp_(threadIdx.x / kWarpSize),
        slot_(p.batch.slots[sequence]),
        pages_(p.pages, slot_, head),
        first_row_(p.batch.row_offsets[sequence]),
        num_rows_(p.batch.row_offsets[sequence + 1] - first_row_),
        first_position_(num_rows_ > 0 ? p.batch.positions[first_row_] : 0),
        k_(k + first_row_ * p.k_stride + head * p.pages.head_dim),
        v_(v + first_row_ * p.v_stride + head * p.pages.head_dim) {}

  __device__ int num_rows() const { return num_rows_; }

  // A warp looks at 32 kept slots at a time: most have no new owner.
  __device__ void WriteSurvivors(const int64_t* source) const {
    for (int64_t begin = warp_ * kWarpSize; begin < p_.buffer_size; begin += kThreads) {
      const int64_t own = begin + lane_ < p_.buffer_size ? source[begin + lane_] : kUnchanged;
      unsigned changed = __ballot_sync(kFullWarp, own != kUnchanged);
      for (; changed != 0; changed &= changed - 1) {
        const int place = __ffs(changed) - 1;
        WriteSurvivor(__shfl_sync(kFullWarp, own, place), static_cast<uint32_t>(begin + place));
      }
    }
  }

  __device__ void WriteRing() const {
    const int64_t begin = max(int64_t{0}, num_rows_ - p_.pages.ring_tokens);
    for (int64_t row = begin + warp_; row < num_rows_; row += kWarps) {
      const int64_t place = (first_position_ + row) % p_.pages.ring_tokens;
      WriteOwn(row, Place(pages_.Ring(static_cast<uint32_t>(place))));
    }
  }

 private:
  __device__ void WriteSurvivor(int64_t position, uint32_t place) const {
    T* to = Place(pages_.Kept(place));
    if (position >= first_position_) {
      WriteOwn(position - first_position_, to);
    } else {
      const uint32_t from = static_cast<uint32_t>(position % p_.pages.ring_tokens);
      const T* key = pages_.Key(pages_.Ring(from));
      Write(key, key + pages_.value_offset(), to);
    }
  }
  __device__ T* Place(PagePlace place) const {
    if (place.page == 0 && slot_ != 0) __trap();
    return pages_.Key(place);
  }
  __device__ void WriteOwn(int64_t row, T* to) const {
    Write(k_ + row * p_.k_stride, v_ + row * p_.v_stride, to);
  }
  __device__ void Write(const T* key, const T* value, T* to) const {
    using Lanes = Pack<T, kLanes>;
    for (int d = lane_ * kLanes; d < p_.pages.head_dim; d += kWarpSize * kLanes) {
      *reinterpret_cast<Lanes*>(to + d) = *reinterpret_cast<const Lanes*>(key + d);
      *reinterpret_cast<Lanes*>(to + pages_.value_offset() + d) =
          *reinterpret_cast<const Lanes*>(value + d);
    }
  }

  const WriteParams& p_;
  const int lane_, warp_;
  const int32_t slot_;
  const HeadPages<T> pages_;
  const int64_t first_row_;
  const int num_rows_;
  const int64_t first_position_;
  const T* k_;
  const T* v_;
};

// Grid: sequences, heads. Survivors go first: ring tokens take the places of some of them.
template <int kLanes, typename T>
__global__ void WriteKvKernel(WriteParams p, const T* k, const T* v) {
  StartAfterPrevious();
  const HeadWriter<kLanes, T> writer(p, k, v, blockIdx.x, blockIdx.y);
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
    // A head begins where lanes do, in the step's rows and in the pages.
    const int lanes = args.pages.head_dim % 4 == 0 ? LanesOf({args.k, args.v}) : 1;
    return ForLanes(lanes, [&](auto lanes) {
      return LaunchEarly(WriteKvKernel<lanes.value, T>, grid, kThreads, 0, stream, p,
                         args.k.data<T>(), args.v.data<T>());
    });
  });
}

}  // namespace winnow::cuda
