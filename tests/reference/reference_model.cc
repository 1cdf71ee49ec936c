#include "tests/reference/reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/dtype.h"
#include "model/safetensors.h"
#include "tests/reference/reference_eviction.h"
#include "tests/reference/reference_math.h"

namespace winnow::reference {
namespace {

template <typename T>
Vector ToDoubles(const SafetensorsEntry& entry) {
  Vector out(entry.size_bytes / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, entry.data + i * sizeof(T), sizeof(T));
    out[i] = ToFloat(value);
  }
  return out;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  Checkpoint checkpoint;
  for (const auto& [name, entry] : file->entries()) {
    Tensor& tensor = checkpoint[name];
    tensor.shape = entry.shape;
    if (entry.dtype == "BF16") {
      tensor.data = ToDoubles<BF16>(entry);
    } else if (entry.dtype == "F16") {
      tensor.data = ToDoubles<F16>(entry);
    } else if (entry.dtype == "F32") {
      tensor.data = ToDoubles<float>(entry);
    } else {
      return absl::InvalidArgumentError(absl::StrCat(name, " has dtype ", entry.dtype));
    }
  }
  return checkpoint;
}

// Causal depthwise convolution over the last `width` inputs, then SiLU; without weight: SiLU alone.
class ShortConv {
 public:
  explicit ShortConv(const Tensor* weight) : weight_(weight) {
    if (weight != nullptr) past_.assign(weight->shape[2], Vector(weight->shape[0], 0.0));
  }

  Vector Step(const Vector& x) {
    Vector y(x.size(), 0.0);
    if (weight_ == nullptr) {
      y = x;
    } else {
      past_.erase(past_.begin());
      past_.push_back(x);
      for (size_t c = 0; c < x.size(); ++c) {
        for (size_t i = 0; i < past_.size(); ++i) {
          y[c] += weight_->data[c * past_.size() + i] * past_[i][c];
        }
      }
    }
    for (double& v : y) v = Silu(v);
    return y;
  }

 private:
  const Tensor* const weight_;  // [channels, 1, width]
  std::vector<Vector> past_;    // oldest first
};

class GatedDeltaNet : public Mixer {
 public:
  GatedDeltaNet(const GatedDeltaConfig& config, double eps, LayerTensors weights)
      : c_(config),
        eps_(eps),
        w_(std::move(weights)),
        q_conv_(Conv("q")),
        k_conv_(Conv("k")),
        v_conv_(Conv("v")),
        state_(config.num_v_heads * config.head_dim * config.value_dim, 0.0) {}

  Vector Step(const Vector& x, int64_t) override {
    const Vector q = q_conv_.Step(w_.Apply("q_proj", x));
    const Vector k = k_conv_.Step(w_.Apply("k_proj", x));
    const Vector v = v_conv_.Step(w_.Apply("v_proj", x));
    const Vector a = w_.Apply("a_proj", x), b = w_.Apply("b_proj", x);
    Vector out(c_.num_v_heads * c_.value_dim);
    for (int64_t h = 0; h < c_.num_v_heads; ++h) {
      const int64_t key_head = h / (c_.num_v_heads / c_.num_heads);
      const Vector kn = L2Norm(Slice(k, key_head * c_.head_dim, c_.head_dim));
      Vector qn = L2Norm(Slice(q, key_head * c_.head_dim, c_.head_dim));
      for (double& value : qn) value /= std::sqrt(static_cast<double>(c_.head_dim));
      const double beta = Sigmoid(b[h]) * (c_.allow_neg_eigval ? 2.0 : 1.0);
      const double decay =
          std::exp(-std::exp(w_["A_log"].data[h]) * Softplus(a[h] + w_["dt_bias"].data[h]));
      const Vector o = Head(h, qn, kn, Slice(v, h * c_.value_dim, c_.value_dim), decay, beta);
      const Vector normed = RmsNorm(o, w_["o_norm.weight"].data, eps_);
      std::copy(normed.begin(), normed.end(), out.begin() + h * c_.value_dim);
    }
    if (c_.use_gate) {
      const Vector gate = w_.Apply("g_proj", x);
      for (size_t i = 0; i < out.size(); ++i) out[i] *= Silu(gate[i]);
    }
    return w_.Apply("o_proj", out);
  }

 private:
  ShortConv Conv(const std::string& name) const {
    return ShortConv(c_.use_short_conv ? &w_[absl::StrCat(name, "_conv1d.weight")] : nullptr);
  }

  // S <- decay S;  S <- S + k (beta (v - S^T k))^T;  o = S^T q.
  Vector Head(int64_t h, const Vector& q, const Vector& k, const Vector& v, double decay,
              double beta) {
    double* s = &state_[h * c_.head_dim * c_.value_dim];
    Vector o(c_.value_dim, 0.0);
    for (int64_t j = 0; j < c_.value_dim; ++j) {
      double recalled = 0;
      for (int64_t i = 0; i < c_.head_dim; ++i) {
        s[i * c_.value_dim + j] *= decay;
        recalled += s[i * c_.value_dim + j] * k[i];
      }
      const double delta = beta * (v[j] - recalled);
      for (int64_t i = 0; i < c_.head_dim; ++i) {
        s[i * c_.value_dim + j] += k[i] * delta;
        o[j] += s[i * c_.value_dim + j] * q[i];
      }
    }
    return o;
  }

  const GatedDeltaConfig c_;
  const double eps_;
  const LayerTensors w_;
  ShortConv q_conv_, k_conv_, v_conv_;
  Vector state_;  // [Hv, Dk, Dv]
};

// Softmax attention over every token, or over the last window_size tokens.
class PlainAttention : public Mixer {
 public:
  PlainAttention(const AttentionConfig& config, LayerTensors weights)
      : c_(config), w_(std::move(weights)) {}

  Vector Step(const Vector& x, int64_t position) override {
    const Vector q = RopeHeads(w_.ApplyWithBias("q_proj", x), position, c_.head_dim, c_.rope_theta);
    keys_.push_back(RopeHeads(w_.ApplyWithBias("k_proj", x), position, c_.head_dim, c_.rope_theta));
    values_.push_back(w_.ApplyWithBias("v_proj", x));
    if (c_.window_size.has_value() && static_cast<int64_t>(keys_.size()) > *c_.window_size) {
      keys_.erase(keys_.begin());
      values_.erase(values_.begin());
    }
    Vector out;
    for (int64_t h = 0; h < c_.num_heads; ++h) {
      const int64_t kv_head = h / (c_.num_heads / c_.num_kv_heads);
      std::vector<KeyValue> seen;
      for (size_t i = 0; i < keys_.size(); ++i) {
        seen.push_back({Slice(keys_[i], kv_head * c_.head_dim, c_.head_dim),
                        Slice(values_[i], kv_head * c_.head_dim, c_.head_dim)});
      }
      const Vector o = Attend(Slice(q, h * c_.head_dim, c_.head_dim), seen);
      out.insert(out.end(), o.begin(), o.end());
    }
    return w_.Apply("o_proj", out);
  }

 private:
  const AttentionConfig c_;
  const LayerTensors w_;
  std::vector<Vector> keys_, values_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ReferenceModel>> ReferenceModel::Load(const std::string& directory) {
  auto config = LoadModelConfig(directory + "/config.json");
  if (!config.ok()) return config.status();
  auto checkpoint = ReadCheckpoint(directory + "/model.safetensors");
  if (!checkpoint.ok()) return checkpoint.status();
  return std::unique_ptr<ReferenceModel>(
      new ReferenceModel(*std::move(config), *std::move(checkpoint)));
}

ReferenceModel::ReferenceModel(ModelConfig config, Checkpoint checkpoint)
    : config_(std::move(config)), checkpoint_(std::move(checkpoint)) {
  Reset();
}

void ReferenceModel::Reset() {
  mixers_.clear();
  position_ = 0;
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    const LayerTensors weights(&checkpoint_, absl::StrCat("model.layers.", i, ".attn."));
    const auto& mixer = config_.layers[i].mixer;
    if (const auto* gated_delta = std::get_if<GatedDeltaConfig>(&mixer)) {
      mixers_.push_back(std::make_unique<GatedDeltaNet>(*gated_delta, config_.norm_eps, weights));
      continue;
    }
    const auto& attention = std::get<AttentionConfig>(mixer);
    if (attention.eviction.has_value()) {
      mixers_.push_back(std::make_unique<EvictionAttention>(attention, weights));
    } else {
      mixers_.push_back(std::make_unique<PlainAttention>(attention, weights));
    }
  }
}

Vector ReferenceModel::Step(uint32_t token) {
  const LayerTensors top(&checkpoint_, "");
  Vector x =
      Slice(top["model.embeddings.weight"].data, token * config_.hidden_size, config_.hidden_size);
  for (size_t i = 0; i < mixers_.size(); ++i) {
    const LayerTensors w(&checkpoint_, absl::StrCat("model.layers.", i, "."));
    const Vector mixed =
        mixers_[i]->Step(RmsNorm(x, w["attn_norm.weight"].data, config_.norm_eps), position_);
    Accumulate(mixed, &x);
    const Vector h = RmsNorm(x, w["mlp_norm.weight"].data, config_.norm_eps);
    Vector gate = w.Apply("mlp.gate_proj", h);
    const Vector up = w.Apply("mlp.up_proj", h);
    for (size_t j = 0; j < gate.size(); ++j) gate[j] = Silu(gate[j]) * up[j];
    Accumulate(w.Apply("mlp.down_proj", gate), &x);
  }
  ++position_;
  const Vector final = RmsNorm(x, top["model.norm.weight"].data, config_.norm_eps);
  return MatVec(top[config_.tie_word_embeddings ? "model.embeddings.weight" : "lm_head.weight"],
                final);
}

std::vector<int64_t> ReferenceModel::KeptCounts() const {
  std::vector<int64_t> counts;
  for (const auto& mixer : mixers_) {
    const std::vector<int64_t> kept = mixer->KeptCounts();
    counts.insert(counts.end(), kept.begin(), kept.end());
  }
  return counts;
}

Vector LogSoftmax(const Vector& logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double v : logits) sum += std::exp(v - most);
  Vector out = logits;
  for (double& v : out) v -= most + std::log(sum);
  return out;
}

}  // namespace winnow::reference
