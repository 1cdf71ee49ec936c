#include <cstdint>

#include "kernels/cuda/departures.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"

namespace winnow::cuda {
namespace {

constexpr int64_t kNever = kNeverExpires;
constexpr int kNone = -1;

struct DepartureParams {
  RaggedBatch batch;
  const float* scores;  // [T, Hkv]
  int64_t scores_stride;
  int64_t margin, span, buffer_size, sink_size;
  int num_heads;
  SlotField score_ring, kept_count, kept_score, kept_position;
  KeptPlan plan;
};

constexpr int kThreads = 128;

// The kept set, score ring and plan of one sequence and head: HeadReplay of kernels/cpu. The whole
// block begins the plan and saves the scores; its first warp replays. Lane 0 writes what concerns
// one token; __syncwarp stands between that and reads of other lanes.
class BlockReplay {
 public:
  __device__ BlockReplay(const DepartureParams& p, int sequence, int head)
      : p_(p),
        heads_(p.num_heads),
        head_(head),
        lane_(threadIdx.x % kWarpSize),
        first_row_(p.batch.row_offsets[sequence]),
        num_rows_(p.batch.row_offsets[sequence + 1] - first_row_),
        first_position_(num_rows_ > 0 ? p.batch.positions[first_row_] : 0) {
    const int64_t slot = p.batch.slots[sequence];
    const int64_t list = int64_t{sequence} * heads_ + head;
    score_ring_ = FieldAt<float>(p.score_ring, slot) + head;
    kept_count_ = FieldAt<int32_t>(p.kept_count, slot) + head;
    kept_score_ = FieldAt<float>(p.kept_score, slot) + head * p.buffer_size;
    kept_position_ = FieldAt<int64_t>(p.kept_position, slot) + head * p.buffer_size;
    kept_before_ = p.plan.kept_before + list;
    kept_expiry_ = p.plan.kept_expiry + list * p.buffer_size;
    ring_expiry_ = p.plan.ring_expiry + list * p.span;
    source_ = p.plan.source + list * p.buffer_size;
  }

  __device__ void Run() {
    if (num_rows_ == 0) return;
    count_ = *kept_count_;
    StartPlan();
    __syncthreads();
    if (threadIdx.x < kWarpSize) Replay();
    __syncthreads();
    SaveScores();
  }

 private:
  __device__ void Replay() {
    const int64_t first = max(int64_t{0}, first_position_ - p_.span);
    const int64_t end = first_position_ + num_rows_ - p_.span;
    if (p_.buffer_size > 0) {
      for (int64_t position = first; position < end; position += kWarpSize) {
        DepartTogether(position, end);
      }
    }
    if (lane_ == 0) *kept_count_ = count_;
  }

  // As if nothing were kept or displaced.
  __device__ void StartPlan() const {
    const int thread = threadIdx.x;
    if (thread == 0) *kept_before_ = count_;
    for (int64_t i = thread; i < p_.buffer_size; i += kThreads) {
      if (i < count_) kept_expiry_[i] = kNever;
      source_[i] = kUnchanged;
    }
    const int64_t oldest = max(int64_t{0}, first_position_ - p_.span);
    int64_t index = (oldest + thread) % p_.span;
    for (int64_t position = oldest + thread; position < first_position_; position += kThreads) {
      ring_expiry_[index] = position + p_.span;
      index += kThreads;
      while (index >= p_.span) index -= p_.span;
    }
    for (int64_t row = thread; row < num_rows_; row += kThreads) {
      *ChunkExpiry(row) = first_position_ + row + p_.span;
    }
  }

  __device__ int64_t* ChunkExpiry(int64_t row) const {
    return p_.plan.chunk_expiry + (first_row_ + row) * heads_ + head_;
  }
  __device__ float StepScore(int64_t row) const {
    return p_.scores[(first_row_ + row) * p_.scores_stride + head_];
  }

  __device__ float Score(int64_t position) const {
    if (position < p_.sink_size) return __int_as_float(0x7f800000);  // +inf
    const int64_t row = position + p_.margin - first_position_;
    return row >= 0 ? StepScore(row) : score_ring_[position % p_.span * heads_];
  }

  // The tokens from `position` on, at most a warp of them and before `end`, leave in order.
  __device__ void DepartTogether(int64_t position, int64_t end) {
    const float score = position + lane_ < end ? Score(position + lane_) : 0.0f;
    unsigned candidates = __ballot_sync(kFullWarp, score > 0);
    while (candidates != 0) {
      const int next = __ffs(candidates) - 1;
      candidates &= candidates - 1;
      Depart(position + next, __shfl_sync(kFullWarp, score, next));
    }
  }

  // REQUIRES: score > 0.
  __device__ void Depart(int64_t position, float score) {
    if (count_ < p_.buffer_size) {
      Keep(position, score, count_++);
      return;
    }
    if (lowest_ == kNone) FindLowest();
    if (!(score > lowest_score_)) return;
    // Queries from this one on see the newcomer in its place.
    if (lane_ == 0) *Expiry(lowest_) = position + p_.span;
    Keep(position, score, lowest_);
  }

  __device__ void Keep(int64_t position, float score, int place) {
    if (lane_ == 0) {
      kept_score_[place] = score;
      kept_position_[place] = position;
      source_[place] = position;
      *Expiry(place) = kNever;
    }
    lowest_ = kNone;
    __syncwarp();
  }

  // Where the plan has the expiry of the token that a kept slot holds now. Lane 0.
  __device__ int64_t* Expiry(int place) const {
    const int64_t position = source_[place];
    if (position == kUnchanged) return kept_expiry_ + place;
    const int64_t row = position - first_position_;
    return row >= 0 ? ChunkExpiry(row) : ring_expiry_ + position % p_.span;
  }

  // Of equal scores that with the lowest position.
  __device__ void FindLowest() {
    float score = __int_as_float(0x7f800000);
    int64_t position = kNever;
    int place = 0;
    const auto consider = [&](float other_score, int64_t other_position, int other_place) {
      if (other_score < score || (other_score == score && other_position < position)) {
        score = other_score;
        position = other_position;
        place = other_place;
      }
    };
    for (int i = lane_; i < count_; i += kWarpSize) consider(kept_score_[i], kept_position_[i], i);
    for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
      const float other_score = __shfl_xor_sync(kFullWarp, score, offset);
      const int64_t other_position = __shfl_xor_sync(kFullWarp, position, offset);
      const int other_place = __shfl_xor_sync(kFullWarp, place, offset);
      consider(other_score, other_position, other_place);
    }
    lowest_ = place;
    lowest_score_ = score;
  }

  // The last V scores that are final now. Only after the replay: they take the places of those that
  // it reads.
  __device__ void SaveScores() const {
    const int64_t end = first_position_ + num_rows_ - p_.margin;
    const int64_t begin = max(max(int64_t{0}, first_position_ - p_.margin), end - p_.span);
    for (int64_t position = begin + threadIdx.x; position < end; position += kThreads) {
      score_ring_[position % p_.span * heads_] = StepScore(position + p_.margin - first_position_);
    }
  }

  const DepartureParams& p_;
  const int heads_, head_, lane_;
  const int64_t first_row_;
  const int num_rows_;
  const int64_t first_position_;

  float* score_ring_;  // this head's column of [V, Hkv]
  int32_t* kept_count_;
  float* kept_score_;       // [K]
  int64_t* kept_position_;  // [K]
  int32_t* kept_before_;
  int64_t* kept_expiry_;  // [K]
  int64_t* ring_expiry_;  // [V]
  int64_t* source_;       // [K]

  int count_ = 0;
  int lowest_ = kNone;  // kept slot that goes next, where known
  float lowest_score_ = 0;
};

// Grid: sequences, heads.
__global__ void DeparturesKernel(DepartureParams p) {
  StartAfterPrevious();
  BlockReplay(p, blockIdx.x, blockIdx.y).Run();
}

}  // namespace

cudaError_t LaunchDepartures(const DeparturesArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  const DepartureParams p = {.batch = args.batch,
                             .scores = args.scores.data<float>(),
                             .scores_stride = args.scores.row_stride,
                             .margin = args.margin,
                             .span = args.span,
                             .buffer_size = args.buffer_size,
                             .sink_size = args.sink_size,
                             .num_heads = static_cast<int>(args.num_kv_heads),
                             .score_ring = args.score_ring,
                             .kept_count = args.kept_count,
                             .kept_score = args.kept_score,
                             .kept_position = args.kept_position,
                             .plan = args.plan};
  const dim3 grid(static_cast<unsigned>(args.batch.num_sequences),
                  static_cast<unsigned>(args.num_kv_heads));
  return LaunchEarly(DeparturesKernel, grid, kThreads, 0, stream, p);
}

}  // namespace winnow::cuda
