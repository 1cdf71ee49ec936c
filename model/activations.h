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

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/tensor.h"
#include "model/config.h"

namespace winnow {

// A bump allocator. Without memory (the default) it only measures.
class Arena {
 public:
  Arena() = default;
  Arena(std::byte* data, int64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  TensorView Take(DType dtype, std::initializer_list<int64_t> shape);
  int64_t used_bytes() const { return used_bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
  int64_t used_bytes_ = 0;
};

// Scratch of one sublayer; T tokens and B sequences at most.
struct GatedDeltaScratch {
  GatedDeltaScratch(Arena& arena, const GatedDeltaConfig& config, int64_t num_tokens);
  TensorView q_in, k_in, v_in;  // before the short convolution
  TensorView q, k,
      v;  // [T, Hk, Dk], [T, Hk, Dk], [T, Hv, Dv]; the inputs themselves without convolution
  TensorView a, b;  // [T, Hv]
  TensorView gate;  // [T, Hv, Dv], with use_gate
  TensorView out;   // [T, Hv, Dv]
};

struct AttentionScratch {
  AttentionScratch(Arena& arena, const AttentionConfig& config, int64_t num_tokens,
                   int64_t num_sequences);
  TensorView q, k, v, out;  // [T, Hq, D], [T, Hkv, D], [T, Hkv, D], [T, Hq, D]
  // With eviction:
  TensorView scores;  // [T, Hkv]
  KeptPlan plan;
};

struct MlpScratch {
  MlpScratch(Arena& arena, int64_t intermediate_size, int64_t num_tokens);
  TensorView gate, up;  // [T, F]
};

// Logits are computed in blocks of this many rows, so that their memory is bounded.
inline constexpr int64_t kLogitsBlockRows = 64;

struct LogitsScratch {
  LogitsScratch(Arena& arena, int64_t hidden_size, int64_t vocab_size);
  TensorView hidden;  // [kLogitsBlockRows, M]
  TensorView logits;  // [kLogitsBlockRows, vocab]
  TensorView rows;    // [kLogitsBlockRows] int32
};

class Activations {
 public:
  static absl::StatusOr<Activations> Create(Backend* backend, const ModelConfig& config,
                                            int64_t max_tokens, int64_t max_sequences);

  // Step tables, uploaded at the start of a step.
  TensorView tokens;       // [T] int32
  TensorView positions;    // [T] int64
  TensorView row_offsets;  // [B + 1] int32
  TensorView slots;        // [B] int32

  TensorView residual;  // [T, M] float32
  TensorView normed;    // [T, M]: input of the sublayer at work
  TensorView delta;     // [T, M]: output of the last sublayer, not yet added to the residual
  TensorView cos_sin;   // [T, 2, D/2], with attention layers

  // The whole scratch arena; what was carved from it before is forgotten.
  Arena Scratch() const { return Arena(scratch_, scratch_bytes_); }
  int64_t size_bytes() const { return memory_.size_bytes(); }

 private:
  Activations() = default;
  void CarveNamed(Arena& arena, const ModelConfig& config, int64_t max_tokens,
                  int64_t max_sequences);

  DeviceBuffer memory_;
  std::byte* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_ACTIVATIONS_H_
