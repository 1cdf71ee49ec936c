#include "kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/cutoff.h"
#include "kernels/cpu/sample_edits.h"
#include "kernels/philox.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sample.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/sample-inl.h"

#if HWY_ONCE
namespace winnow::cpu {

HWY_EXPORT(CountLogits);
HWY_EXPORT(DropBelow);
HWY_EXPORT(FindGreater);
HWY_EXPORT(FindLogit);
HWY_EXPORT(LargestLogit);
HWY_EXPORT(SoftmaxWeights);
HWY_EXPORT(SumFloats);

namespace {

// Tokens whose weights are added up at a time: a draw looks for its block, then within it.
constexpr int64_t kBlock = 1024;
// So many most likely tokens are kept in a sorted list; more are selected by radix.
constexpr int64_t kMaxListed = 512;

void CheckRow(const LogitsRow& row, const uint32_t* drawn, int64_t vocab) {
  const SamplingParams& sampling = row.sampling;
  WINNOW_CHECK(row.num_top <= kMaxTopLogprobs) << row.num_top;
  WINNOW_CHECK(row.slot == 0 ? !row.context.output_in_flight : row.slot > 0 && drawn != nullptr)
      << "slot " << row.slot;
  if (row.purpose == RowPurpose::kScore) {
    WINNOW_CHECK(row.score_token < vocab) << "token " << row.score_token << " of " << vocab;
    return;
  }
  WINNOW_CHECK(sampling.temperature >= 0 && std::isfinite(sampling.temperature))
      << "temperature " << sampling.temperature;
  WINNOW_CHECK(sampling.top_p > 0 && sampling.top_p <= 1) << "top_p " << sampling.top_p;
  WINNOW_CHECK(sampling.min_p >= 0 && sampling.min_p <= 1) << "min_p " << sampling.min_p;
  WINNOW_CHECK(sampling.repetition_penalty > 0 && std::isfinite(sampling.repetition_penalty))
      << "repetition_penalty " << sampling.repetition_penalty;
  WINNOW_CHECK(std::isfinite(sampling.frequency_penalty))
      << "frequency_penalty " << sampling.frequency_penalty;
  WINNOW_CHECK(std::isfinite(sampling.presence_penalty))
      << "presence_penalty " << sampling.presence_penalty;
}

std::vector<double> BlockSums(const float* weights, int64_t vocab) {
  std::vector<double> sums;
  for (int64_t i = 0; i < vocab; i += kBlock) {
    sums.push_back(HWY_DYNAMIC_DISPATCH(SumFloats)(weights + i, std::min(kBlock, vocab - i)));
  }
  return sums;
}

double Sum(const std::vector<double>& sums) {
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// `count` tokens, most likely first, of equal ones the lowest id first; fewer if the other logits
// are -inf.
std::vector<int64_t> MostLikely(const float* logits, int64_t vocab, int64_t count) {
  std::vector<int64_t> top;
  if (count == 0) return top;
  float bound = -std::numeric_limits<float>::infinity();  // holds back none while there is room
  for (int64_t i = 0; i < vocab; ++i) {
    i = HWY_DYNAMIC_DISPATCH(FindGreater)(logits, i, vocab, bound);
    if (i == vocab) break;
    const auto place = std::upper_bound(
        top.begin(), top.end(), i, [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
    top.insert(place, i);
    if (static_cast<int64_t>(top.size()) > count) top.pop_back();
    if (static_cast<int64_t>(top.size()) == count) bound = logits[top.back()];
  }
  return top;
}

// Chooses a token by its edited logits [vocab], of which `max` is the largest, finite, and others
// may be -inf. `weights` [vocab] is scratch.
class TokenChoice {
 public:
  TokenChoice(const float* logits, float max, int64_t vocab, const LogitsRow& row, float* weights)
      : logits_(logits),
        max_(max),
        vocab_(vocab),
        sampling_(row.sampling),
        position_(row.position),
        weights_(weights) {}

  int64_t Run() {
    if (sampling_.temperature == 0) return HWY_DYNAMIC_DISPATCH(FindLogit)(logits_, vocab_, max_);
    HWY_DYNAMIC_DISPATCH(SoftmaxWeights)(logits_, vocab_, max_, sampling_.temperature, weights_);
    if (sampling_.min_p > 0) Keep(MinP());
    if (sampling_.top_k > 0 && sampling_.top_k < vocab_) Keep(TopK(sampling_.top_k));
    if (sampling_.top_p < 1) Keep(TopP(sampling_.top_p));
    return InverseCdf(PhiloxUniform(sampling_.seed, static_cast<uint64_t>(position_)));
  }

 private:
  // e^((logit - max) / temperature) >= min_p, solved for the logit: exact, unlike the weights.
  Cutoff MinP() const {
    const double lowest = max_ + double{sampling_.temperature} * std::log(double{sampling_.min_p});
    constexpr double kLeast = std::numeric_limits<float>::lowest();
    const float logit = static_cast<float>(std::max(lowest, kLeast));
    return {.logit = logit < lowest ? std::nextafter(logit, max_) : logit};
  }

  Cutoff TopK(int64_t count) const {
    if (count <= kMaxListed) {
      const int64_t last = MostLikely(logits_, vocab_, count).back();
      return {logits_[last], last};
    }
    std::vector<Candidate> candidates(vocab_);
    for (int64_t i = 0; i < vocab_; ++i) candidates[i] = {logits_[i], 1.0f, i};
    return ShortestPrefix(std::move(candidates), static_cast<double>(count));
  }

  // Of the tokens that have a weight.
  Cutoff TopP(double top_p) const {
    const double total = Sum(BlockSums(weights_, vocab_));
    // Tokens below `bound` have less than 1 - top_p together: the prefix ends before them.
    const float bound = static_cast<float>((1 - top_p) * total / static_cast<double>(2 * vocab_));
    std::vector<Candidate> candidates;
    const auto find_greater = HWY_DYNAMIC_DISPATCH(FindGreater);
    for (int64_t i = find_greater(weights_, 0, vocab_, bound); i < vocab_;
         i = find_greater(weights_, i + 1, vocab_, bound)) {
      candidates.push_back({logits_[i], weights_[i], i});
    }
    return ShortestPrefix(std::move(candidates), total * top_p);
  }

  void Keep(const Cutoff& cutoff) {
    const auto drop_below = HWY_DYNAMIC_DISPATCH(DropBelow);
    const int64_t end =
        std::min(vocab_, cutoff.token);  // of the tokens whose logits may equal the last one's
    drop_below(logits_, end, cutoff.logit, false, weights_);
    if (end == vocab_) return;
    drop_below(logits_ + end + 1, vocab_ - end - 1, cutoff.logit, true, weights_ + end + 1);
  }

  // The first token, by id, at which the running sum of weights exceeds `uniform` of the whole.
  int64_t InverseCdf(double uniform) const {
    const std::vector<double> sums = BlockSums(weights_, vocab_);
    double rest = uniform * Sum(sums);
    int64_t block = -1;
    for (int64_t b = 0; b < static_cast<int64_t>(sums.size()); ++b) {
      if (sums[b] == 0) continue;
      block = b;  // the last one with any weight, should rounding leave a rest
      if (rest < sums[b]) break;
      rest -= sums[b];
    }
    int64_t token = -1;
    for (int64_t i = block * kBlock; i < std::min(vocab_, (block + 1) * kBlock); ++i) {
      if (weights_[i] == 0) continue;
      token = i;
      rest -= weights_[i];
      if (rest < 0) break;
    }
    return token;
  }

  const float* logits_;  // [vocab]
  const float max_;
  const int64_t vocab_;
  const SamplingParams& sampling_;
  const int64_t position_;
  float* weights_;  // [vocab]
};

// Draws or scores one row. `scratch` is of ScratchFloats().
class RowSampler {
 public:
  RowSampler(const float* logits, int64_t vocab, const LogitsRow& row, uint32_t* drawn,
             float* scratch, RowResult* result)
      : logits_(logits),
        vocab_(vocab),
        row_(row),
        drawn_(drawn),
        scratch_(scratch),
        result_(*result) {}

  // Rows that edit no logit need no copy of them.
  static int64_t ScratchFloats(const LogitsRow& row, int64_t vocab) {
    return HasEdits(row) ? 2 * vocab : vocab;
  }

  void Run() {
    result_ = RowResult();
    bool finite = false;
    max_ = HWY_DYNAMIC_DISPATCH(LargestLogit)(logits_, vocab_, &finite);
    if (!finite) {
      result_.fault = true;
      return;
    }
    result_.token = static_cast<uint32_t>(ChooseToken());
    if (row_.slot != 0) drawn_[row_.slot] = result_.token;
    if (row_.want_logprobs || row_.num_top > 0 || row_.purpose == RowPurpose::kScore) Report();
  }

 private:
  int64_t ChooseToken() {
    if (row_.purpose == RowPurpose::kScore) return row_.score_token;
    if (!HasEdits(row_)) return TokenChoice(logits_, max_, vocab_, row_, scratch_).Run();
    float* edited = scratch_ + vocab_;
    std::copy_n(logits_, vocab_, edited);
    EditLogits(row_, drawn_, vocab_, edited, scratch_);
    bool finite = false;  // suppressed tokens are not: no fault
    const float max = HWY_DYNAMIC_DISPATCH(LargestLogit)(edited, vocab_, &finite);
    return TokenChoice(edited, max, vocab_, row_, scratch_).Run();
  }

  // Log-probabilities of the raw logits, rank and alternatives.
  void Report() {
    HWY_DYNAMIC_DISPATCH(SoftmaxWeights)(logits_, vocab_, max_, 1.0f, scratch_);
    const double log_sum = max_ + std::log(Sum(BlockSums(scratch_, vocab_)));
    const auto logprob = [&](int64_t token) {
      return static_cast<float>(logits_[token] - log_sum);
    };

    const int64_t token = result_.token;
    result_.logprob = logprob(token);
    const auto count = HWY_DYNAMIC_DISPATCH(CountLogits);
    result_.rank =
        static_cast<uint32_t>(1 + count(logits_, token, logits_[token], true) +
                              count(logits_ + token, vocab_ - token, logits_[token], false));
    for (const int64_t id : MostLikely(logits_, vocab_, std::min<int64_t>(row_.num_top, vocab_))) {
      result_.top.push_back({static_cast<uint32_t>(id), logprob(id)});
    }
  }

  const float* logits_;  // [vocab], raw
  const int64_t vocab_;
  const LogitsRow& row_;
  uint32_t* drawn_;  // [slots]
  float* scratch_;   // weights [vocab], edited logits [vocab] if there are edits
  RowResult& result_;
  float max_ = 0;
};

}  // namespace

void Sample(ThreadPool& pool, const SampleArgs& args) {
  WINNOW_CHECK(args.logits.rank == 2) << args.logits.rank;
  const int64_t num_rows = args.logits.dim(0);
  const int64_t vocab = args.logits.dim(1);
  WINNOW_CHECK(vocab > 0);
  for (int64_t i = 0; i < num_rows; ++i) CheckRow(args.rows[i], args.drawn, vocab);
  if (num_rows == 0) return;
  pool.Run(num_rows, [&](int64_t i, int thread) {
    const LogitsRow& row = args.rows[i];
    float* scratch = pool.ThreadScratch(thread, RowSampler::ScratchFloats(row, vocab));
    RowSampler(args.logits.row<float>(i), vocab, row, args.drawn, scratch, &args.results[i]).Run();
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
