#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/check.h"
#include "kernels/dtype.h"
#include "model/checkpoint_layout.h"
#include "model/file.h"

namespace winnow {
namespace {

// What the published training code keeps in its checkpoints beside the model.
constexpr std::string_view kTrainingState[] = {"model.l1_lambda", "model.num_kept"};

std::optional<DType> FloatType(std::string_view dtype) {
  if (dtype == "BF16") return DType::kBF16;
  if (dtype == "F16") return DType::kF16;
  if (dtype == "F32") return DType::kF32;
  return std::nullopt;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// The tensor is there, in a float type and with the shape that the config calls for.
absl::Status CheckTensor(const TensorSpec& spec, const SafetensorsEntry& entry) {
  if (entry.shape != spec.shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", spec.name, " has shape ",
                                                   ShapeText(entry.shape), ", not ",
                                                   ShapeText(spec.shape), " as config.json says"));
  }
  if (!FloatType(entry.dtype).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", spec.name, " has dtype ", entry.dtype,
                                                   "; BF16, F16 or F32 is needed"));
  }
  return absl::OkStatus();
}

bool SameBytes(const SafetensorsEntry& a, const SafetensorsEntry& b) {
  return a.dtype == b.dtype && a.size_bytes == b.size_bytes &&
         std::memcmp(a.data, b.data, a.size_bytes) == 0;
}

// Element i, whatever the alignment.
float ElementAt(const std::byte* data, DType dtype, int64_t i) {
  const auto load = [&](auto value) {
    std::memcpy(&value, data + i * sizeof(value), sizeof(value));
    return ToFloat(value);
  };
  switch (dtype) {
    case DType::kBF16:
      return load(BF16{});
    case DType::kF16:
      return load(F16{});
    default:
      return load(float{});
  }
}

}  // namespace

// Checks the files against the layout, then builds the weights from them.
class WeightsBuilder {
 public:
  WeightsBuilder(const ModelConfig& config, CheckpointFiles files)
      : config_(config),
        layout_(CheckpointLayout(config)),
        weights_(new Weights()),
        entries_(files.entries()) {
    weights_->files_ = std::move(files);
  }

  absl::StatusOr<std::unique_ptr<const Weights>> Build() && {
    if (absl::Status all = CheckTensors(); !all.ok()) return all;
    if (absl::Status none = CheckNoOthers(); !none.ok()) return none;
    weights_->embeddings = Matrix("model.embeddings.weight");
    weights_->head = config_.tie_word_embeddings ? weights_->embeddings : Matrix("lm_head.weight");
    weights_->final_norm = Floats("model.norm.weight");
    for (size_t i = 0; i < config_.layers.size(); ++i) {
      prefix_ = LayerPrefix(i);
      weights_->layers.push_back(Layer(config_.layers[i]));
    }
    if (!non_finite_.ok()) return non_finite_;
    return std::unique_ptr<const Weights>(std::move(weights_));
  }

 private:
  absl::Status CheckTensors() {
    for (const TensorSpec& spec : layout_) {
      specs_[spec.name] = &spec;
      const auto it = entries_.find(spec.name);
      if (it == entries_.end()) {
        if (!spec.same_as.empty()) continue;
        return absl::NotFoundError(
            absl::StrCat("tensor ", spec.name, " ", ShapeText(spec.shape), " is missing"));
      }
      if (absl::Status tensor = CheckTensor(spec, it->second); !tensor.ok()) return tensor;
      if (spec.same_as.empty()) {
        weights_->num_parameters += spec.num_elements();
      } else if (!SameBytes(it->second, entries_.find(spec.same_as)->second)) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor ", spec.name, " differs from ", spec.same_as,
                         ", but config.json says that they are the same"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckNoOthers() const {
    for (const auto& [name, entry] : entries_) {
      bool known = specs_.contains(name);
      for (const std::string_view other : kTrainingState) known = known || name == other;
      if (!known) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor ", name, " ", entry.dtype, " ", ShapeText(entry.shape),
                         " is not part of the model that config.json describes"));
      }
    }
    return absl::OkStatus();
  }

  // The spec of a tensor of the layer at work (or of the model, outside of layers).
  const TensorSpec& Spec(const std::string& name) const {
    const auto it = specs_.find(prefix_ + name);
    WINNOW_CHECK(it != specs_.end()) << prefix_ << name << " is not in the layout";
    return *it->second;
  }

  // Its place in the files; of the one that it is the same as, where it has one.
  const SafetensorsEntry& Entry(const TensorSpec& spec) const {
    return entries_.find(spec.same_as.empty() ? spec.name : spec.same_as)->second;
  }

  WeightMatrix Matrix(const std::string& name) {
    const TensorSpec& spec = Spec(name);
    const SafetensorsEntry& entry = Entry(spec);
    WeightMatrix matrix;
    matrix.dtype = *FloatType(entry.dtype);
    matrix.rows = spec.shape[0];
    matrix.cols = spec.shape[1];
    matrix.data = Aligned(entry, DTypeBytes(matrix.dtype));
    weights_->blocks.push_back({.data = matrix.data,
                                .dtype = matrix.dtype,
                                .count = matrix.rows * matrix.cols,
                                .is_matrix = true});
    weights_->size_bytes += matrix.bytes();
    return matrix;
  }

  const std::byte* Aligned(const SafetensorsEntry& entry, int64_t alignment) {
    if (reinterpret_cast<uintptr_t>(entry.data) % alignment == 0) return entry.data;
    weights_->aligned_copies_.push_back(std::make_unique<std::byte[]>(entry.size_bytes));
    std::byte* copy = weights_->aligned_copies_.back().get();
    std::memcpy(copy, entry.data, entry.size_bytes);
    return copy;
  }

  float* NewFloats(int64_t count) {
    weights_->converted_.push_back(std::make_unique<float[]>(count));
    weights_->size_bytes += count * static_cast<int64_t>(sizeof(float));
    float* floats = weights_->converted_.back().get();
    weights_->blocks.push_back({.data = floats, .dtype = DType::kF32, .count = count});
    return floats;
  }

  // The tensor as float32; element i goes to place `place(i)`.
  template <typename Place>
  const float* FloatsAt(const std::string& name, Place place) {
    const TensorSpec& spec = Spec(name);
    const SafetensorsEntry& entry = Entry(spec);
    const DType dtype = *FloatType(entry.dtype);
    const int64_t count = spec.num_elements();
    float* floats = NewFloats(count);
    for (int64_t i = 0; i < count; ++i) {
      const float value = ElementAt(entry.data, dtype, i);
      if (!std::isfinite(value)) NonFinite(spec.name, i, value);
      floats[place(i)] = value;
    }
    return floats;
  }
  const float* Floats(const std::string& name) {
    return FloatsAt(name, [](int64_t i) { return i; });
  }

  void NonFinite(const std::string& name, int64_t i, float value) {
    if (!non_finite_.ok()) return;
    non_finite_ =
        absl::InvalidArgumentError(absl::StrCat("tensor ", name, " element ", i, " is ", value));
  }

  LayerWeights Layer(const LayerConfig& config) {
    LayerWeights w;
    w.mixer_norm = Floats("attn_norm.weight");
    if (const auto* gated_delta = std::get_if<GatedDeltaConfig>(&config.mixer)) {
      w.mixer = GatedDelta(*gated_delta);
    } else {
      w.mixer = Attention(std::get<AttentionConfig>(config.mixer));
    }
    w.mlp_norm = Floats("mlp_norm.weight");
    w.mlp_gate = Matrix("mlp.gate_proj.weight");
    w.mlp_up = Matrix("mlp.up_proj.weight");
    w.mlp_down = Matrix("mlp.down_proj.weight");
    return w;
  }

  GatedDeltaWeights GatedDelta(const GatedDeltaConfig& config) {
    GatedDeltaWeights w;
    w.q = Matrix("attn.q_proj.weight");
    w.k = Matrix("attn.k_proj.weight");
    w.v = Matrix("attn.v_proj.weight");
    // Matrices whose products are taken together follow each other where they are placed.
    if (config.use_gate) w.gate = Matrix("attn.g_proj.weight");
    w.a = Matrix("attn.a_proj.weight");
    w.b = Matrix("attn.b_proj.weight");
    w.out = Matrix("attn.o_proj.weight");
    w.a_log = Floats("attn.A_log");
    w.dt_bias = Floats("attn.dt_bias");
    w.out_norm = Floats("attn.o_norm.weight");
    if (config.use_short_conv) {
      w.q_conv = Floats("attn.q_conv1d.weight");
      w.k_conv = Floats("attn.k_conv1d.weight");
      w.v_conv = Floats("attn.v_conv1d.weight");
    }
    return w;
  }

  AttentionWeights Attention(const AttentionConfig& config) {
    AttentionWeights w;
    w.q = Matrix("attn.q_proj.weight");
    w.k = Matrix("attn.k_proj.weight");
    w.v = Matrix("attn.v_proj.weight");
    if (config.qkv_bias) {
      w.q.bias = Floats("attn.q_proj.bias");
      w.k.bias = Floats("attn.k_proj.bias");
      w.v.bias = Floats("attn.v_proj.bias");
    }
    w.out = Matrix("attn.o_proj.weight");
    if (config.eviction.has_value()) w.router = Router(config);
    return w;
  }

  RouterWeights Router(const AttentionConfig& config) {
    const std::string stack = "attn.router.conv_stack.";
    RouterWeights router;
    router.convs = RouterConvShapes(config);
    router.groups = RouterGroups(config);
    router.method = config.eviction->routing_method;
    router.seed = config.eviction->random_seed;
    for (size_t i = 0; i < router.convs.size(); ++i) {
      RouterConv& conv = router.convs[i];
      conv.weight = RouterFilters(absl::StrCat(stack, "convs.", i, ".weight"), conv);
      conv.bias = Floats(absl::StrCat(stack, "convs.", i, ".bias"));
    }
    router.proj_weight = Floats(stack + "proj.weight");
    router.proj_bias = Floats(stack + "proj.bias");
    return router;
  }

  // [groups * out, in, 1, size] to [groups, size, in, out].
  const float* RouterFilters(const std::string& name, const RouterConv& conv) {
    return FloatsAt(name, [&conv](int64_t i) {
      const int64_t tap = i % conv.size;
      const int64_t in = i / conv.size % conv.in;
      const int64_t out = i / (conv.size * conv.in) % conv.out;
      const int64_t group = i / (conv.size * conv.in * conv.out);
      return ((group * conv.size + tap) * conv.in + in) * conv.out + out;
    });
  }

  const ModelConfig& config_;
  const std::vector<TensorSpec> layout_;
  std::map<std::string, const TensorSpec*, std::less<>> specs_;
  std::unique_ptr<Weights> weights_;
  const SafetensorsEntries entries_;
  std::string prefix_;  // of the layer at work
  absl::Status non_finite_;
};

absl::StatusOr<std::unique_ptr<const Weights>> Weights::Load(const std::string& directory,
                                                             const ModelConfig& config) {
  absl::StatusOr<CheckpointFiles> files = CheckpointFiles::Open(directory);
  if (!files.ok()) return files.status();
  absl::StatusOr<std::unique_ptr<const Weights>> weights =
      WeightsBuilder(config, *std::move(files)).Build();
  if (!weights.ok()) return AtPath(directory, weights.status());
  return weights;
}

}  // namespace winnow
