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

void CheckRow(const LogitsRow& row, int64_t vocab) {
  const SamplingParams& sampling = row.sampling;
  WINNOW_CHECK(row.num_top <= kMaxTopLogprobs) << row.num_top;
  if (row.purpose == RowPurpose::kScore) {
    WINNOW_CHECK(row.score_token < vocab) << "token " << row.score_token << " of " << vocab;
  } else {
    WINNOW_CHECK(sampling.temperature >= 0) << "temperature " << sampling.temperature;
    WINNOW_CHECK(sampling.top_p > 0 && sampling.top_p <= 1) << "top_p " << sampling.top_p;
  }
}

// Draws or scores one row. `weights` [vocab] is scratch.
class RowSampler {
 public:
  RowSampler(const float* logits, int64_t vocab, const LogitsRow& row, float* weights,
             RowResult* result)
      : logits_(logits), vocab_(vocab), row_(row), weights_(weights), result_(*result) {}

  void Run() {
    result_ = RowResult();
    bool finite = false;
    max_ = HWY_DYNAMIC_DISPATCH(LargestLogit)(logits_, vocab_, &finite);
    if (!finite) {
      result_.fault = true;
      return;
    }
    result_.token = static_cast<uint32_t>(ChooseToken());
    if (row_.want_logprobs || row_.num_top > 0 || row_.purpose == RowPurpose::kScore) Report();
  }

 private:
  int64_t ChooseToken() {
    if (row_.purpose == RowPurpose::kScore) return row_.score_token;
    if (row_.sampling.temperature == 0)
      return HWY_DYNAMIC_DISPATCH(FindLogit)(logits_, vocab_, max_);
    return Draw();
  }

  int64_t Draw() {
    const SamplingParams& sampling = row_.sampling;
    HWY_DYNAMIC_DISPATCH(SoftmaxWeights)(logits_, vocab_, max_, sampling.temperature, weights_);
    if (sampling.top_k > 0 && sampling.top_k < vocab_) Keep(TopK(sampling.top_k));
    if (sampling.top_p < 1) Keep(TopP(sampling.top_p));
    return InverseCdf(PhiloxUniform(sampling.seed, static_cast<uint64_t>(row_.position)));
  }

  Cutoff TopK(int64_t count) const {
    if (count <= kMaxListed) {
      const int64_t last = MostLikely(count).back();
      return {logits_[last], last};
    }
    std::vector<Candidate> candidates(vocab_);
    for (int64_t i = 0; i < vocab_; ++i) candidates[i] = {logits_[i], 1.0f, i};
    return ShortestPrefix(std::move(candidates), static_cast<double>(count));
  }

  // Of the tokens that have a weight.
  Cutoff TopP(double top_p) const {
    const double total = Sum(BlockSums());
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

  std::vector<double> BlockSums() const {
    std::vector<double> sums;
    for (int64_t i = 0; i < vocab_; i += kBlock) {
      sums.push_back(HWY_DYNAMIC_DISPATCH(SumFloats)(weights_ + i, std::min(kBlock, vocab_ - i)));
    }
    return sums;
  }

  static double Sum(const std::vector<double>& sums) {
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }

  // The first token, by id, at which the running sum of weights exceeds `uniform` of the whole.
  int64_t InverseCdf(double uniform) const {
    const std::vector<double> sums = BlockSums();
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

  // Log-probabilities of the raw logits, rank and alternatives.
  void Report() {
    HWY_DYNAMIC_DISPATCH(SoftmaxWeights)(logits_, vocab_, max_, 1.0f, weights_);
    const double log_sum = max_ + std::log(Sum(BlockSums()));
    const auto logprob = [&](int64_t token) {
      return static_cast<float>(logits_[token] - log_sum);
    };

    const int64_t token = result_.token;
    result_.logprob = logprob(token);
    const auto count = HWY_DYNAMIC_DISPATCH(CountLogits);
    result_.rank =
        static_cast<uint32_t>(1 + count(logits_, token, logits_[token], true) +
                              count(logits_ + token, vocab_ - token, logits_[token], false));
    for (const int64_t id : MostLikely(std::min<int64_t>(row_.num_top, vocab_))) {
      result_.top.push_back({static_cast<uint32_t>(id), logprob(id)});
    }
  }

  // `count` tokens, most likely first, of equal ones the lowest id first.
  std::vector<int64_t> MostLikely(int64_t count) const {
    std::vector<int64_t> top;
    if (count == 0) return top;
    float bound =
        -std::numeric_limits<float>::infinity();  // all are larger as long as there is room
    for (int64_t i = 0; i < vocab_; ++i) {
      i = HWY_DYNAMIC_DISPATCH(FindGreater)(logits_, i, vocab_, bound);
      if (i == vocab_) break;
      const auto place = std::upper_bound(
          top.begin(), top.end(), i, [&](int64_t a, int64_t b) { return logits_[a] > logits_[b]; });
      top.insert(place, i);
      if (static_cast<int64_t>(top.size()) > count) top.pop_back();
      if (static_cast<int64_t>(top.size()) == count) bound = logits_[top.back()];
    }
    return top;
  }

  const float* logits_;  // [vocab]
  const int64_t vocab_;
  const LogitsRow& row_;
  float* weights_;  // [vocab]
  RowResult& result_;
  float max_ = 0;
};

}  // namespace

void Sample(ThreadPool& pool, const SampleArgs& args) {
  WINNOW_CHECK(args.logits.rank == 2) << args.logits.rank;
  const int64_t num_rows = args.logits.dim(0);
  const int64_t vocab = args.logits.dim(1);
  WINNOW_CHECK(vocab > 0);
  for (int64_t i = 0; i < num_rows; ++i) CheckRow(args.rows[i], vocab);
  if (num_rows == 0) return;
  pool.Run(num_rows, [&](int64_t i, int thread) {
    RowSampler(args.logits.row<float>(i), vocab, args.rows[i], pool.ThreadScratch(thread, vocab),
               &args.results[i])
        .Run();
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
