#include "tests/reference/reference_eviction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow::reference {

EvictionAttention::EvictionAttention(const AttentionConfig& config, LayerTensors weights)
    : c_(config), w_(std::move(weights)), kept_(config.num_kv_heads) {}

Vector EvictionAttention::RouterOutput(size_t depth, int64_t p, int64_t head) const {
  const int64_t d = c_.head_dim;
  if (depth == 0) {
    return p < 0 ? Vector(2 * d, 0.0) : Slice(raw_.at(p), head * 2 * d, 2 * d);
  }
  const Tensor& weight = w_[absl::StrCat("router.conv_stack.convs.", depth - 1, ".weight")];
  const Tensor& bias = w_[absl::StrCat("router.conv_stack.convs.", depth - 1, ".bias")];
  const bool per_head = c_.eviction->routing_shared == RoutingShared::kHead;
  const int64_t out = weight.shape[0] / (per_head ? c_.num_kv_heads : 1);
  const int64_t in = weight.shape[1], taps = weight.shape[3];
  if (p < 0) return Vector(out, 0.0);
  const int64_t dilation = c_.eviction->conv_dilation[depth - 1];
  const int64_t left = dilation * (taps - 1) / 2;
  const int64_t first_out = per_head ? head * out : 0;
  Vector y = Slice(bias.data, first_out, out);
  for (int64_t tap = 0; tap < taps; ++tap) {
    const Vector x = RouterOutput(depth - 1, p - left + tap * dilation, head);
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        y[o] += weight.data[((first_out + o) * in + i) * taps + tap] * x[i];
      }
    }
  }
  for (double& v : y) v = Silu(v);
  return y;
}

double EvictionAttention::Score(int64_t j, int64_t head) const {
  const Vector y = RouterOutput(c_.eviction->conv_size.size(), j, head);
  const bool per_head = c_.eviction->routing_shared == RoutingShared::kHead;
  const Tensor& weight = w_["router.conv_stack.proj.weight"];
  double z = w_["router.conv_stack.proj.bias"].data[per_head ? head : 0];
  for (size_t i = 0; i < y.size(); ++i)
    z += weight.data[(per_head ? head * y.size() : 0) + i] * y[i];
  return c_.eviction->routing_method == RoutingMethod::kRelu ? std::max(z, 0.0) : Sigmoid(z) - 0.5;
}

void EvictionAttention::Retire(int64_t j) {
  const std::vector<KeyValue> kv = window_.at(j);
  window_.erase(j);
  for (int64_t h = 0; h < c_.num_kv_heads; ++h) {
    const double score =
        j < c_.eviction->sink_size ? std::numeric_limits<double>::infinity() : Score(j, h);
    std::vector<Kept>& kept = kept_[h];
    if (!(score > 0) || c_.eviction->buffer_size == 0) continue;
    if (static_cast<int64_t>(kept.size()) < c_.eviction->buffer_size) {
      kept.push_back({score, j, kv[h]});
      continue;
    }
    const auto lowest =
        std::min_element(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) {
          return std::pair(a.score, a.position) < std::pair(b.score, b.position);
        });
    if (lowest->score < score) *lowest = {score, j, kv[h]};
  }
}

Vector EvictionAttention::Step(const Vector& x, int64_t position) {
  const int64_t d = c_.head_dim;
  const Vector q = RopeHeads(w_.ApplyWithBias("q_proj", x), position, d, c_.rope_theta);
  const Vector raw_key = w_.ApplyWithBias("k_proj", x), value = w_.ApplyWithBias("v_proj", x);
  const Vector key = RopeHeads(raw_key, position, d, c_.rope_theta);
  Vector& raw = raw_[position];
  for (int64_t h = 0; h < c_.num_kv_heads; ++h) {
    for (const Vector* part : {&raw_key, &value}) {
      raw.insert(raw.end(), part->begin() + h * d, part->begin() + (h + 1) * d);
    }
    window_[position].push_back({Slice(key, h * d, d), Slice(value, h * d, d)});
  }
  if (const int64_t leaving = position - c_.span(); leaving >= 0) Retire(leaving);

  Vector out;
  for (int64_t h = 0; h < c_.num_heads; ++h) {
    const int64_t kv_head = h / (c_.num_heads / c_.num_kv_heads);
    std::vector<KeyValue> seen;
    for (const auto& [j, kv] : window_) seen.push_back(kv[kv_head]);
    for (const Kept& kept : kept_[kv_head]) seen.push_back(kept.kv);
    const Vector o = Attend(Slice(q, h * d, d), seen);
    out.insert(out.end(), o.begin(), o.end());
  }
  return w_.Apply("o_proj", out);
}

std::vector<int64_t> EvictionAttention::KeptCounts() const {
  std::vector<int64_t> counts;
  for (const auto& kept : kept_) counts.push_back(static_cast<int64_t>(kept.size()));
  return counts;
}

}  // namespace winnow::reference
