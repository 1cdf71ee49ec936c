#include "kernels/cpu/eviction_reference.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/ops/position_score.h"

namespace winnow::cpu {
namespace {

std::vector<float> Uniform(int64_t size, float bound, std::mt19937_64* rng) {
  std::uniform_real_distribution<float> draw(-bound, bound);
  std::vector<float> x(size);
  for (float& value : x) value = draw(*rng);
  return x;
}

// One layer of the router for one head: x [N, in] by position -> silu(convolution), [N, out].
std::vector<double> Convolve(const RouterConv& conv, int64_t group, const std::vector<double>& x) {
  const int64_t n = static_cast<int64_t>(x.size()) / conv.in;
  const int64_t pad = conv.dilation * (conv.size - 1);
  const int64_t left = pad / 2;
  std::vector<double> y(n * conv.out);
  for (int64_t p = 0; p < n; ++p) {
    for (int64_t o = 0; o < conv.out; ++o) {
      double sum = conv.bias[group * conv.out + o];
      for (int64_t tap = 0; tap < conv.size; ++tap) {
        const int64_t from = p - left + tap * conv.dilation;
        // Nothing exists before the sequence; what needs tokens after its end is not looked at.
        if (from < 0 || from >= n) continue;
        for (int64_t i = 0; i < conv.in; ++i) {
          sum += double{conv.weight[((group * conv.size + tap) * conv.in + i) * conv.out + o]} *
                 x[from * conv.in + i];
        }
      }
      y[p * conv.out + o] = sum / (1 + std::exp(-sum));
    }
  }
  return y;
}

}  // namespace

RouterModel::RouterModel(const EvictionShape& shape, uint64_t seed) {
  std::mt19937_64 rng(seed);
  weights_.groups = shape.shared ? 1 : shape.kv_heads;
  weights_.method = shape.method;
  weights_.seed = shape.random_seed;
  int64_t in = 2 * shape.head_dim;
  for (const ConvShape& c : shape.convs) {
    const float bound = std::sqrt(6.0f / static_cast<float>(c.size * in));
    storage_.push_back(Uniform(weights_.groups * c.size * in * c.out, bound, &rng));
    storage_.push_back(Uniform(weights_.groups * c.out, 0.1f, &rng));
    RouterConv conv;
    conv.weight = storage_[storage_.size() - 2].data();
    conv.bias = storage_.back().data();
    conv.in = in;
    conv.out = c.out;
    conv.size = c.size;
    conv.dilation = c.dilation;
    weights_.convs.push_back(conv);
    in = c.out;
  }
  storage_.push_back(Uniform(weights_.groups * in, 3 / std::sqrt(static_cast<float>(in)), &rng));
  weights_.proj_weight = storage_.back().data();
  storage_.push_back(Uniform(weights_.groups, 0.2f, &rng));
  weights_.proj_bias = storage_.back().data();
}

EvictionTokens MakeEvictionTokens(const EvictionShape& shape, int64_t size, uint64_t seed) {
  std::mt19937_64 rng(seed);
  const int64_t kv = size * shape.kv_heads * shape.head_dim;
  EvictionTokens tokens;
  tokens.size = size;
  tokens.q = Uniform(kv * shape.group, 3, &rng);
  tokens.k_raw = Uniform(kv, 1.5, &rng);
  tokens.k = Uniform(kv, 1, &rng);
  tokens.v = Uniform(kv, 1.5, &rng);
  return tokens;
}

namespace {

// The score of the token at `position`, for which the router gives z.
double Score(const EvictionShape& shape, int64_t head, int64_t position, double z) {
  switch (shape.method) {
    case RoutingMethod::kSigmoid:
      return 1 / (1 + std::exp(-z)) - 0.5;
    case RoutingMethod::kRelu:
      return std::max(z, 0.0);
    case RoutingMethod::kRecency:
      return static_cast<double>(position + 1);
    case RoutingMethod::kRandom:
      return RandomScore(shape.random_seed, head, position);
  }
  return 0;
}

}  // namespace

std::vector<double> ReferenceScores(const EvictionShape& shape, const RouterModel& router,
                                    const EvictionTokens& tokens) {
  const RouterWeights& weights = router.weights();
  const int64_t d = shape.head_dim;
  int64_t margin = 0;
  for (const ConvShape& c : shape.convs)
    margin += c.dilation * (c.size - 1) - c.dilation * (c.size - 1) / 2;
  const int64_t num_scores = std::max<int64_t>(0, tokens.size - margin);
  std::vector<double> scores(num_scores * shape.kv_heads);
  for (int64_t h = 0; h < shape.kv_heads; ++h) {
    const int64_t group = shape.shared ? 0 : h;
    std::vector<double> x;
    for (int64_t p = 0; p < tokens.size; ++p) {
      const int64_t at = (p * shape.kv_heads + h) * d;
      x.insert(x.end(), &tokens.k_raw[at], &tokens.k_raw[at] + d);
      x.insert(x.end(), &tokens.v[at], &tokens.v[at] + d);
    }
    for (const RouterConv& conv : weights.convs) x = Convolve(conv, group, x);
    const int64_t channels = weights.convs.back().out;
    for (int64_t p = 0; p < num_scores; ++p) {
      double z = weights.proj_bias[group];
      for (int64_t c = 0; c < channels; ++c)
        z += weights.proj_weight[group * channels + c] * x[p * channels + c];
      scores[p * shape.kv_heads + h] = Score(shape, h, p, z);
    }
  }
  return scores;
}

void ReferenceHead::Retire(int64_t position, double score) {
  if (position < sink_) score = std::numeric_limits<double>::infinity();
  // A relu score of 0 is exact: how close a larger one came is all that counts.
  if (score != 0) closest_call_ = std::min(closest_call_, std::abs(score));
  if (!(score > 0) || buffer_ == 0) return;
  if (static_cast<int64_t>(kept_.size()) < buffer_) {
    kept_.push_back({score, position});
    return;
  }
  size_t lowest = 0;
  for (size_t i = 1; i < kept_.size(); ++i) {
    if (kept_[i].score < kept_[lowest].score ||
        (kept_[i].score == kept_[lowest].score && kept_[i].position < kept_[lowest].position)) {
      lowest = i;
    }
  }
  for (const Kept& kept : kept_) {
    if (!std::isinf(score) || !std::isinf(kept.score)) {
      closest_call_ = std::min(closest_call_, std::abs(score - kept.score));
    }
  }
  if (kept_[lowest].score < score) kept_[lowest] = {score, position};
}

ReferenceEviction::ReferenceEviction(const EvictionShape& shape, const RouterModel& router,
                                     const EvictionTokens& tokens)
    : shape_(shape),
      tokens_(tokens),
      heads_(shape.kv_heads, ReferenceHead(shape.buffer, shape.sink)) {
  const std::vector<double> scores = ReferenceScores(shape, router, tokens);
  outputs_.resize(tokens.q.size());
  for (int64_t t = 0; t < tokens.size; ++t) {
    const int64_t leaving = t - shape.window - 1;
    for (int64_t h = 0; h < shape.kv_heads && leaving >= 0; ++h) {
      heads_[h].Retire(leaving, scores[leaving * shape.kv_heads + h]);
    }
    for (int64_t h = 0; h < shape.kv_heads * shape.group; ++h) Attend(t, h);
  }
}

double ReferenceEviction::closest_call() const {
  double closest = std::numeric_limits<double>::infinity();
  for (const ReferenceHead& head : heads_) closest = std::min(closest, head.closest_call());
  return closest;
}

void ReferenceEviction::Attend(int64_t t, int64_t query_head) {
  const int64_t d = shape_.head_dim;
  const int64_t head = query_head / shape_.group;
  std::vector<int64_t> alive;
  for (const ReferenceHead::Kept& kept : heads_[head].kept()) alive.push_back(kept.position);
  for (int64_t j = std::max<int64_t>(0, t - shape_.window); j <= t; ++j) alive.push_back(j);

  const float* q = &tokens_.q[(t * shape_.kv_heads * shape_.group + query_head) * d];
  std::vector<double> weights;
  for (const int64_t j : alive) {
    double dot = 0;
    for (int64_t i = 0; i < d; ++i)
      dot += double{q[i]} * tokens_.k[(j * shape_.kv_heads + head) * d + i];
    weights.push_back(dot / std::sqrt(static_cast<double>(d)));
  }
  const double max = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  double* out = &outputs_[(t * shape_.kv_heads * shape_.group + query_head) * d];
  for (size_t n = 0; n < alive.size(); ++n) {
    const double weight = std::exp(weights[n] - max);
    sum += weight;
    for (int64_t i = 0; i < d; ++i)
      out[i] += weight * tokens_.v[(alive[n] * shape_.kv_heads + head) * d + i];
  }
  for (int64_t i = 0; i < d; ++i) out[i] /= sum;
}

}  // namespace winnow::cpu
