// Random tensors of a checkpoint: any part of any tensor can be made alone, so the values depend on
// the seed and the tensor's name only, not on threads or the order of work.
//
// Scales keep activations of order one through any number of layers: projections have standard
// deviation 1/sqrt(inputs), those back onto the residual stream also share its growth between the
// layers, norms lie around 1. Decay rates and time steps follow the published initialisation
// (A uniform in 0..16, dt log-uniform in 0.001..0.1, stored through the inverse of softplus), the
// router's convolutions too (Kaiming); the bias of its scores lets about half of all tokens be
// kept.
#ifndef WINNOW_TOOLS_RANDOM_TENSOR_H_
#define WINNOW_TOOLS_RANDOM_TENSOR_H_

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"
#include "model/checkpoint_layout.h"
#include "model/config.h"

namespace winnow {

class RandomTensor {
 public:
  // `dtype`: BF16, F16 or F32.
  RandomTensor(const TensorSpec& spec, const ModelConfig& config, uint64_t seed, DType dtype);

  // Writes elements first .. first + count - 1 to `out`, which is aligned to the element type.
  void Fill(int64_t first, int64_t count, std::byte* out) const;

 private:
  template <typename Element>
  void FillAs(int64_t first, int64_t count, Element* out) const;

  TensorRole role_;
  DType dtype_;
  uint64_t key_;
  float stddev_ = 0;
};

// Rounds to nearest, ties to even; what is too large becomes infinity.
F16 ToF16(float x);

}  // namespace winnow

#endif  // WINNOW_TOOLS_RANDOM_TENSOR_H_
