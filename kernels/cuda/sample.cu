#include <cfloat>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/sample.h"
#include "kernels/philox.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;
constexpr double kWeightUnits = 0x1p42;

// The bits of a logit's key that one pass of a search looks at, most significant first.
constexpr int kNumDigits = 3;
constexpr int DigitShift(int digit) { return digit == 0 ? 21 : digit == 1 ? 10 : 0; }
constexpr int DigitBits(int digit) { return digit == 2 ? 10 : 11; }
constexpr int kMaxBins = 1 << 11;

// Unsigned integers in the order of the floats; 0 and -0 are equal.
__device__ uint32_t OrderedKey(float logit) {
  const uint32_t bits = __float_as_uint(logit + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The last token that is kept: all with a larger key are, and those with an equal one and a lower
// id.
struct Cutoff {
  uint32_t key = 0;
  uint32_t token = 0xffffffffu;

  __device__ bool Keeps(float logit, uint32_t id) const {
    const uint32_t other = OrderedKey(logit);
    return other > key || (other == key && id <= token);
  }
};

struct Candidate {
  float logit;
  uint32_t token;
};

// Most likely first, of equal ones the lowest id.
__device__ bool Before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

struct Shared {
  unsigned long long bins[kMaxBins];
  unsigned long long warp_sums[kWarps];
  Candidate warp_best[kWarps];
  unsigned long long before;  // mass in the prefix for sure
  float saved_drawn;          // logit of the token that was in flight, if it is not in the list
  uint32_t found;
  uint32_t count;
  Candidate top[kMaxTopLogprobs];
};

__device__ unsigned long long WarpSum64(unsigned long long x) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kFullWarp, x, offset);
  }
  return x;
}

// One row, by one block: every member function is called by all of its threads. A pass over the
// vocabulary hands tokens out in turn; what needs the order of ids (a draw, the end of a run of
// equal logits) gives each warp a range.
class RowSampler {
 public:
  __device__ RowSampler(float* logits, uint32_t vocab, const SampleRow& row, const uint32_t* drawn,
                        Shared* shared)
      : logits_(logits),
        vocab_(vocab),
        row_(row),
        in_flight_(row.counts_drawn ? drawn[row.slot] : kNoToken),
        s_(*shared),
        lane_(threadIdx.x % kWarpSize),
        warp_(threadIdx.x / kWarpSize) {}

  __device__ void Run(const TokenEdit* edits, float* saved, uint32_t* drawn, SampleOutput* output) {
    if (!AllFinite()) {
      if (threadIdx.x == 0) output->fault = 1;
      return;
    }
    uint32_t token = row_.score_token;
    if (!row_.scores_token) {
      Edit(edits, saved);
      token = Choose();
      Restore(edits, saved);
    }
    if (threadIdx.x == 0) {
      output->token = token;
      output->fault = 0;
      // Every thread has read what was there: there were barriers since.
      if (row_.slot != 0) drawn[row_.slot] = token;
    }
    if (row_.reports) Report(token, output);
  }

 private:
  static constexpr uint32_t kNoToken = 0xffffffffu;

  __device__ bool AllFinite() const {
    int finite = 1;
    for (uint32_t i = threadIdx.x; i < vocab_; i += kThreads) finite &= isfinite(logits_[i]) != 0;
    return __syncthreads_and(finite) != 0;
  }

  // Steps 1 to 5 of SampleArgs. In float64, to the nearest float32 but never to an infinity.
  __device__ static float Saturated(double x) {
    return static_cast<float>(
        fmin(fmax(x, -static_cast<double>(FLT_MAX)), static_cast<double>(FLT_MAX)));
  }

  __device__ float Edited(float logit, const TokenEdit& edit) const {
    if (edit.suppressed) return -INFINITY;
    if (edit.bias != 0) logit = Saturated(static_cast<double>(logit) + edit.bias);
    if (edit.count == TokenEdit::kNoPenalty) return logit;
    double x = logit;
    x = x > 0 ? x / row_.repetition_penalty : x * row_.repetition_penalty;
    x -= static_cast<double>(row_.frequency_penalty) * edit.count;
    if (edit.count > 0) x -= row_.presence_penalty;
    return Saturated(x);
  }

  __device__ void Edit(const TokenEdit* edits, float* saved) {
    int listed = 0;
    for (int i = threadIdx.x; i < row_.num_edits; i += kThreads) {
      TokenEdit edit = edits[row_.first_edit + i];
      if (edit.token == in_flight_) {
        edit.count = max(edit.count, 0) + 1;
        listed = 1;
      }
      saved[row_.first_edit + i] = logits_[edit.token];
      logits_[edit.token] = Edited(logits_[edit.token], edit);
    }
    edits_in_flight_ = !__syncthreads_or(listed) && in_flight_ != kNoToken;
    if (edits_in_flight_ && threadIdx.x == 0) {
      s_.saved_drawn = logits_[in_flight_];
      logits_[in_flight_] = Edited(s_.saved_drawn, {.token = in_flight_, .count = 1});
    }
    __syncthreads();
  }

  __device__ void Restore(const TokenEdit* edits, const float* saved) const {
    __syncthreads();
    for (int i = threadIdx.x; i < row_.num_edits; i += kThreads) {
      logits_[edits[row_.first_edit + i].token] = saved[row_.first_edit + i];
    }
    if (edits_in_flight_ && threadIdx.x == 0) logits_[in_flight_] = s_.saved_drawn;
    __syncthreads();
  }

  __device__ uint32_t Choose() {
    const Candidate best = Best();
    max_ = best.logit;
    temperature_ = row_.temperature;
    if (temperature_ == 0) return best.token;
    if (row_.min_p > 0) lowest_ = MinP();
    if (row_.top_k > 0 && row_.top_k < vocab_) {
      cutoff_ = FindCutoff(row_.top_k, [this](uint32_t i) { return Kept(i) ? 1ull : 0ull; });
    }
    if (row_.top_p < 1) {
      const auto weight = [this](uint32_t i) { return Weight(i); };
      const double target = static_cast<double>(Sum(weight)) * row_.top_p;
      cutoff_ = FindCutoff(max(1ull, static_cast<unsigned long long>(ceil(target))), weight);
    }
    return Draw();
  }

  // The largest logit, of equal ones the lowest id.
  __device__ Candidate Best() {
    Candidate best = {-INFINITY, 0xffffffffu};
    for (uint32_t i = threadIdx.x; i < vocab_; i += kThreads) {
      if (logits_[i] > best.logit || best.token == 0xffffffffu) best = {logits_[i], i};
    }
    best = WarpBest(best);
    if (lane_ == 0) s_.warp_best[warp_] = best;
    __syncthreads();
    best = WarpBest(s_.warp_best[lane_]);
    __syncthreads();
    return best;
  }

  __device__ static Candidate WarpBest(Candidate best) {
    for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
      const Candidate other = {__shfl_xor_sync(kFullWarp, best.logit, offset),
                               __shfl_xor_sync(kFullWarp, best.token, offset)};
      if (Before(other, best)) best = other;
    }
    return best;
  }

  // e^((logit - max) / temperature) >= min_p, solved for the logit.
  __device__ float MinP() const {
    const double lowest = max_ + static_cast<double>(temperature_) * log(double{row_.min_p});
    const float logit = static_cast<float>(fmax(lowest, -static_cast<double>(FLT_MAX)));
    return logit < lowest ? nextafterf(logit, max_) : logit;
  }

  __device__ bool Kept(uint32_t i) const {
    const float logit = logits_[i];
    return logit >= lowest_ && logit != -INFINITY && cutoff_.Keeps(logit, i);
  }

  // In units of 2^-42 of the largest.
  __device__ unsigned long long Weight(uint32_t i) const {
    if (!Kept(i)) return 0;
    return static_cast<unsigned long long>(
        static_cast<double>(expf((logits_[i] - max_) / temperature_)) * kWeightUnits);
  }

  template <typename Mass>
  __device__ unsigned long long Sum(const Mass& mass) {
    unsigned long long sum = 0;
    for (uint32_t i = threadIdx.x; i < vocab_; i += kThreads) sum += mass(i);
    sum = WarpSum64(sum);
    if (lane_ == 0) s_.warp_sums[warp_] = sum;
    __syncthreads();
    sum = WarpSum64(s_.warp_sums[lane_]);
    __syncthreads();
    return sum;
  }

  // The end of the shortest prefix of the tokens, most likely first, whose masses add up to
  // `target`; all if they never do. Radix search over the bits of the logits: each pass adds up
  // masses per bin of the next bits and goes on in the bin that holds the end.
  template <typename Mass>
  __device__ Cutoff FindCutoff(unsigned long long target, const Mass& mass) {
    uint32_t prefix = 0;
    unsigned long long before = 0;
    for (int digit = 0; digit < kNumDigits; ++digit) {
      const int shift = DigitShift(digit), above = shift + DigitBits(digit);
      AddUpBins(prefix, shift, above, mass);
      FindBin(1 << DigitBits(digit), before, target);
      if (s_.found == kMaxBins) return cutoff_;
      prefix |= s_.found << shift;
      before = s_.before;
      __syncthreads();
    }
    return {prefix, LastOfRun(prefix, target - before, mass)};
  }

  // Masses of the tokens whose keys agree with `prefix` in the bits from `above` on, by the bits
  // from `shift` to `above`.
  template <typename Mass>
  __device__ void AddUpBins(uint32_t prefix, int shift, int above, const Mass& mass) {
    for (int bin = threadIdx.x; bin < kMaxBins; bin += kThreads) s_.bins[bin] = 0;
    __syncthreads();
    const uint32_t bin_mask = (1u << (above - shift)) - 1;
    for (uint32_t i = threadIdx.x; i < vocab_; i += kThreads) {
      const uint32_t key = OrderedKey(logits_[i]);
      if (above < 32 && key >> above != prefix >> above) continue;
      const unsigned long long m = mass(i);
      if (m != 0) atomicAdd(&s_.bins[key >> shift & bin_mask], m);
    }
    __syncthreads();
  }

  // Warp 0 walks through the bins from the top, 32 at a time.
  __device__ void FindBin(int num_bins, unsigned long long before, unsigned long long target) {
    if (warp_ == 0) {
      uint32_t found = kMaxBins;
      for (int top = num_bins; top > 0 && found == kMaxBins; top -= kWarpSize) {
        const unsigned long long own = s_.bins[top - 1 - lane_];
        unsigned long long through = own;  // of this bin and those above it
        for (int offset = 1; offset < kWarpSize; offset *= 2) {
          const unsigned long long other = __shfl_up_sync(kFullWarp, through, offset);
          if (lane_ >= offset) through += other;
        }
        const unsigned reached = __ballot_sync(kFullWarp, before + through >= target);
        if (reached != 0) {
          const int first = __ffs(reached) - 1;
          found = top - 1 - first;
          before += __shfl_sync(kFullWarp, through - own, first);
        } else {
          before += __shfl_sync(kFullWarp, through, kWarpSize - 1);
        }
      }
      if (lane_ == 0) {
        s_.found = found;
        s_.before = before;
      }
    }
    __syncthreads();
  }

  // Of the tokens with this key, in the order of the ids, the one with which their masses add up
  // to `target`.
  template <typename Mass>
  __device__ uint32_t LastOfRun(uint32_t key, unsigned long long target, const Mass& mass) {
    return FindInOrder(target,
                       [&](uint32_t i) { return OrderedKey(logits_[i]) == key ? mass(i) : 0ull; });
  }

  // The first token, by id, at which the running sum of masses reaches `target`; the last one with
  // any mass if it never does.
  template <typename Mass>
  __device__ uint32_t FindInOrder(unsigned long long target, const Mass& mass) {
    const uint32_t range = (vocab_ + kThreads - 1) / kThreads * kWarpSize;  // of a warp
    const uint32_t begin = min(vocab_, warp_ * range), end = min(vocab_, begin + range);
    unsigned long long sum = 0;
    for (uint32_t i = begin + lane_; i < end; i += kWarpSize) sum += mass(i);
    sum = WarpSum64(sum);
    if (lane_ == 0) s_.warp_sums[warp_] = sum;
    if (threadIdx.x == 0) s_.found = 0;
    __syncthreads();
    unsigned long long before = 0, total = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp_) before += s_.warp_sums[w];
      total += s_.warp_sums[w];
    }
    target = min(target, total);
    if (before < target && before + sum >= target) FindInWarp(begin, end, target - before, mass);
    __syncthreads();
    const uint32_t found = s_.found;
    __syncthreads();
    return found;
  }

  template <typename Mass>
  __device__ void FindInWarp(uint32_t begin, uint32_t end, unsigned long long target,
                             const Mass& mass) {
    for (uint32_t first = begin; first < end; first += kWarpSize) {
      unsigned long long through = first + lane_ < end ? mass(first + lane_) : 0;
      for (int offset = 1; offset < kWarpSize; offset *= 2) {
        const unsigned long long other = __shfl_up_sync(kFullWarp, through, offset);
        if (lane_ >= offset) through += other;
      }
      const unsigned reached = __ballot_sync(kFullWarp, through >= target);
      if (reached != 0) {
        if (lane_ == 0) s_.found = first + __ffs(reached) - 1;
        return;
      }
      target -= __shfl_sync(kFullWarp, through, kWarpSize - 1);
    }
  }

  // The first token, by id, at which the running sum of weights exceeds `uniform` of the whole.
  __device__ uint32_t Draw() {
    const auto weight = [this](uint32_t i) { return Weight(i); };
    const double uniform = PhiloxUniform(row_.seed, static_cast<uint64_t>(row_.position));
    const unsigned long long point =
        static_cast<unsigned long long>(uniform * static_cast<double>(Sum(weight)));
    return FindInOrder(point + 1, weight);
  }

  // Log-probabilities of the raw logits, rank and alternatives.
  __device__ void Report(uint32_t token, SampleOutput* output) {
    max_ = Best().logit;
    temperature_ = 1;
    lowest_ = -INFINITY;
    cutoff_ = Cutoff();
    const double sum = static_cast<double>(Sum([this](uint32_t i) { return Weight(i); }));
    const double log_sum = max_ + log(sum / kWeightUnits);
    const float own = logits_[token];
    const unsigned long long ahead = Sum([this, own, token](uint32_t i) {
      return Before({logits_[i], i}, {own, token}) ? 1ull : 0ull;
    });
    if (threadIdx.x == 0) {
      output->logprob = static_cast<float>(own - log_sum);
      output->rank = static_cast<uint32_t>(ahead + 1);
    }
    if (row_.num_top > 0) ReportTop(min(row_.num_top, vocab_), log_sum, output);
  }

  __device__ void ReportTop(uint32_t count, double log_sum, SampleOutput* output) {
    if (count < vocab_) {
      cutoff_ = FindCutoff(count, [](uint32_t) { return 1ull; });
    }
    if (threadIdx.x == 0) s_.count = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < vocab_; i += kThreads) {
      if (cutoff_.Keeps(logits_[i], i)) s_.top[atomicAdd(&s_.count, 1u)] = {logits_[i], i};
    }
    __syncthreads();
    if (threadIdx.x >= count) return;
    const Candidate own = s_.top[threadIdx.x];
    uint32_t place = 0;
    for (uint32_t i = 0; i < count; ++i) place += Before(s_.top[i], own);
    output->top_tokens[place] = own.token;
    output->top_logprobs[place] = static_cast<float>(own.logit - log_sum);
  }

  float* logits_;
  const uint32_t vocab_;
  const SampleRow& row_;
  const uint32_t in_flight_;  // token that penalties count beside those of the list, or kNoToken
  Shared& s_;
  const int lane_, warp_;
  bool edits_in_flight_ = false;  // its edit is not in the list
  float max_ = 0;
  float temperature_ = 1;
  float lowest_ = -INFINITY;  // of the logits that are kept
  Cutoff cutoff_;
};

__global__ void __launch_bounds__(kThreads)
    SampleKernel(float* logits, int64_t stride, uint32_t vocab, const SampleRow* rows,
                 const TokenEdit* edits, float* saved, uint32_t* drawn, SampleOutput* outputs) {
  __shared__ Shared shared;
  __shared__ SampleRow row;
  StartAfterPrevious();
  if (threadIdx.x == 0) row = rows[blockIdx.x];
  __syncthreads();
  RowSampler(logits + blockIdx.x * stride, vocab, row, drawn, &shared)
      .Run(edits, saved, drawn, outputs + blockIdx.x);
}

}  // namespace

cudaError_t LaunchSample(const TensorView& logits, const SampleRow* rows, const TokenEdit* edits,
                         float* saved, uint32_t* drawn, SampleOutput* outputs,
                         cudaStream_t stream) {
  const int64_t num_rows = logits.dim(0), vocab = logits.dim(1);
  if (vocab < 1 || vocab > kMaxSampleVocab) return cudaErrorInvalidValue;
  if (num_rows == 0) return cudaSuccess;
  return LaunchEarly(SampleKernel, static_cast<unsigned>(num_rows), kThreads, 0, stream,
                     logits.data<float>(), logits.row_stride, static_cast<uint32_t>(vocab), rows,
                     edits, saved, drawn, outputs);
}

}  // namespace winnow::cuda
