#include "model/device_weights.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/dtype.h"

namespace winnow {
namespace {

constexpr int64_t kAlignment = 256;
// Bytes between two calls of the progress function.
constexpr int64_t kProgressBytes = int64_t{256} << 20;

DType PlacedType(const WeightBlock& block, const Backend& backend) {
  return block.is_matrix ? backend.matrix_dtype(block.dtype) : DType::kF32;
}

int64_t PlacedBlockBytes(const WeightBlock& block, const Backend& backend) {
  const int64_t bytes = block.count * DTypeBytes(PlacedType(block, backend));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

// Copies the blocks, then the views, which it turns to the copies.
class WeightsPlacer {
 public:
  WeightsPlacer(const Weights& from, Backend* backend) : from_(from), backend_(*backend) {}

  absl::StatusOr<std::unique_ptr<const Weights>> Place(
      const std::function<void(int64_t, int64_t)>& progress) {
    const int64_t total = PlacedBytes(from_, backend_);
    if (absl::Status fits = CheckFit(total); !fits.ok()) return fits;
    auto memory = backend_.Allocate(total);
    if (!memory.ok()) return memory.status();
    to_->device_ = *std::move(memory);
    if (absl::Status copied = CopyBlocks(total, progress); !copied.ok()) return copied;
    CopyViews();
    to_->num_parameters = from_.num_parameters;
    to_->size_bytes = total;
    return std::unique_ptr<const Weights>(std::move(to_));
  }

 private:
  absl::Status CheckFit(int64_t total) const {
    const std::optional<int64_t> available = backend_.available_bytes();
    if (!available.has_value() || total <= *available) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "the weights need ", total, " bytes of device memory, of which ", *available, " are left"));
  }

  absl::Status CopyBlocks(int64_t total, const std::function<void(int64_t, int64_t)>& progress) {
    int64_t done = 0, told = 0;
    for (const WeightBlock& block : from_.blocks) {
      if (places_.contains(block.data)) continue;
      std::byte* place = to_->device_.data() + done;
      const DType type = PlacedType(block, backend_);
      absl::Status status =
          backend_.UploadFloats(place, type, block.data, block.dtype, block.count);
      if (!status.ok()) return status;
      places_[block.data] = place;
      to_->blocks.push_back(
          {.data = place, .dtype = type, .count = block.count, .is_matrix = block.is_matrix});
      done += PlacedBlockBytes(block, backend_);
      if (done - told < kProgressBytes) continue;
      progress(done, total);
      told = done;
    }
    progress(done, total);
    return backend_.Synchronize();
  }

  void CopyViews() {
    to_->embeddings = Matrix(from_.embeddings);
    to_->head = Matrix(from_.head);
    to_->final_norm = Floats(from_.final_norm);
    for (const LayerWeights& layer : from_.layers) to_->layers.push_back(Layer(layer));
  }

  LayerWeights Layer(const LayerWeights& from) {
    LayerWeights w = from;
    w.mixer_norm = Floats(from.mixer_norm);
    std::visit([this](auto& mixer) { Turn(&mixer); }, w.mixer);
    w.mlp_norm = Floats(from.mlp_norm);
    w.mlp_gate = Matrix(from.mlp_gate);
    w.mlp_up = Matrix(from.mlp_up);
    w.mlp_down = Matrix(from.mlp_down);
    return w;
  }

  void Turn(GatedDeltaWeights* w) {
    for (WeightMatrix* m : {&w->q, &w->k, &w->v, &w->a, &w->b, &w->gate, &w->out}) *m = Matrix(*m);
    for (const float** f :
         {&w->a_log, &w->dt_bias, &w->out_norm, &w->q_conv, &w->k_conv, &w->v_conv}) {
      *f = Floats(*f);
    }
  }

  void Turn(AttentionWeights* w) {
    for (WeightMatrix* m : {&w->q, &w->k, &w->v, &w->out}) *m = Matrix(*m);
    if (!w->router.has_value()) return;
    for (RouterConv& conv : w->router->convs) {
      conv.weight = Floats(conv.weight);
      conv.bias = Floats(conv.bias);
    }
    w->router->proj_weight = Floats(w->router->proj_weight);
    w->router->proj_bias = Floats(w->router->proj_bias);
  }

  WeightMatrix Matrix(WeightMatrix matrix) const {
    if (matrix.data == nullptr) return matrix;
    matrix.data = At(matrix.data);
    matrix.dtype = backend_.matrix_dtype(matrix.dtype);
    matrix.bias = Floats(matrix.bias);
    return matrix;
  }
  const float* Floats(const float* floats) const {
    return floats == nullptr ? nullptr : reinterpret_cast<const float*>(At(floats));
  }
  const std::byte* At(const void* data) const {
    const auto place = places_.find(data);
    WINNOW_CHECK(place != places_.end()) << "weights outside of the blocks";
    return place->second;
  }

  const Weights& from_;
  Backend& backend_;
  std::unique_ptr<Weights> to_ = std::unique_ptr<Weights>(new Weights());
  std::map<const void*, const std::byte*> places_;
};

int64_t PlacedBytes(const Weights& weights, const Backend& backend) {
  if (backend.reads_weights_in_place()) return 0;
  std::map<const void*, int64_t> bytes;
  for (const WeightBlock& block : weights.blocks) {
    bytes[block.data] = PlacedBlockBytes(block, backend);
  }
  int64_t total = 0;
  for (const auto& [data, size] : bytes) total += size;
  return total;
}

absl::StatusOr<std::unique_ptr<const Weights>> PlaceWeights(
    std::unique_ptr<const Weights> weights, Backend* backend,
    const std::function<void(int64_t done, int64_t total)>& progress) {
  if (backend->reads_weights_in_place()) return weights;
  return WeightsPlacer(*weights, backend).Place(progress);
}

}  // namespace winnow
