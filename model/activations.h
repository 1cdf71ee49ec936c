// Activations: a model's scratch memory, allocated once for the largest step.
//
// Named buffers live through the whole step (residual stream, step tables). What one layer needs is
// carved from one arena that each layer begins anew; the same carving functions, run on an empty
// arena, tell how large it must be.
#ifndef WINNOW_MODEL_ACTIVATIONS_H_
#define WINNOW_MODEL_ACTIVATIONS_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/tensor.h"
#include "model/config.h"

namespace winnow {

// How a backend likes its activations.
struct ActivationLayout {
  DType dtype = DType::kF32;
  bool joined = false;  // outputs of one group of products are neighbouring columns of one array

  static ActivationLayout Of(const Backend& backend) {
    return {.dtype = backend.activation_dtype(), .joined = backend.joins_products()};
  }
};

// A bump allocator. Without memory (the default) it only measures.
class Arena {
 public:
  Arena() = default;
  Arena(std::byte* data, int64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  TensorView Take(DType dtype, std::initializer_list<int64_t> shape);
  // Arrays [rows, sizes[i]]: neighbouring columns of one, or each by itself.
  std::vector<TensorView> TakeColumns(const ActivationLayout& layout, int64_t rows,
                                      std::initializer_list<int64_t> sizes);
  int64_t used_bytes() const { return used_bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
  int64_t used_bytes_ = 0;
};

// Scratch of one sublayer; T tokens and B sequences at most. Activations are of the layout's type
// but where said.
struct GatedDeltaScratch {
  GatedDeltaScratch(Arena& arena, const GatedDeltaConfig& config, int64_t num_tokens,
                    const ActivationLayout& layout);
  TensorView q_in, k_in, v_in;  // before the short convolution
  TensorView q, k,
      v;  // [T, Hk, Dk], [T, Hk, Dk], [T, Hv, Dv]; the inputs themselves without convolution
  TensorView a, b;  // [T, Hv] float32
  TensorView gate;  // [T, Hv, Dv], with use_gate
  TensorView out;   // [T, Hv, Dv]
};

struct AttentionScratch {
  AttentionScratch(Arena& arena, const AttentionConfig& config, int64_t num_tokens,
                   int64_t num_sequences, const ActivationLayout& layout);
  TensorView q, k, v, out;  // [T, Hq, D], [T, Hkv, D], [T, Hkv, D], [T, Hq, D]
  // What gets the rotary embedding: q and k as one [T, Hq + Hkv, D] where they are neighbours.
  std::vector<TensorView> rotated;
  // With eviction:
  TensorView scores;  // [T, Hkv] float32
  KeptPlan plan;
};

struct MlpScratch {
  MlpScratch(Arena& arena, int64_t intermediate_size, int64_t num_tokens,
             const ActivationLayout& layout);
  TensorView gate, up;  // [T, F]
};

struct LogitsScratch {
  LogitsScratch(Arena& arena, int64_t hidden_size, int64_t vocab_size, int64_t num_rows,
                const ActivationLayout& layout);
  TensorView hidden;  // [R, M]
  TensorView logits;  // [R, vocab] float32
};

// The largest step that activations are made for.
struct ActivationLimits {
  int64_t max_tokens = 0;          // T >= 1
  int64_t max_sequences = 0;       // B >= 1
  int64_t logits_block_rows = 64;  // R >= 1: logits are computed in blocks of so many rows, so that
                                   // their memory is bounded
};

class Activations {
 public:
  static absl::StatusOr<Activations> Create(Backend* backend, const ModelConfig& config,
                                            const ActivationLimits& limits);
  // What Create allocates.
  static int64_t Bytes(const ModelConfig& config, const ActivationLimits& limits,
                       const ActivationLayout& layout);

  // Step tables, uploaded at the start of a step, all at once: positions [T] int64, tokens [T],
  // row_offsets [B + 1], slots [B], logits rows [R] int32, each from a multiple of 16 bytes on.
  TensorView tables;       // [bytes / 4] int32
  TensorView logits_rows;  // [R] int32: of the blocks after the first
  TensorView kept_counts;  // [B, lists] int32, with eviction: downloaded at its end

  TensorView ring_counts;  // [B] int32: entries of the sequences' state rings before the step

  TensorView residual;  // [T, M] float32, unlike the others
  TensorView normed;    // [T, M]: input of the sublayer at work
  TensorView delta;     // [T, M]: output of the last sublayer, not yet added to the residual
  TensorView cos_sin;   // [T, 2, D/2] float32, with attention layers

  // The whole scratch arena; what was carved from it before is forgotten.
  Arena Scratch() const { return Arena(scratch_, scratch_bytes_); }
  int64_t size_bytes() const { return memory_.size_bytes(); }

 private:
  Activations() = default;
  void CarveNamed(Arena& arena, const ModelConfig& config, const ActivationLimits& limits,
                  const ActivationLayout& layout);

  DeviceBuffer memory_;
  std::byte* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_ACTIVATIONS_H_
