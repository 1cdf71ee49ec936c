// Float64 building blocks of the reference model: vectors, norms, rotary embedding, attention of
// one query.
#ifndef WINNOW_TESTS_REFERENCE_REFERENCE_MATH_H_
#define WINNOW_TESTS_REFERENCE_REFERENCE_MATH_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/reference/reference_model.h"

namespace winnow::reference {

double Sigmoid(double x);
double Silu(double x);
double Softplus(double x);
Vector Slice(const Vector& x, int64_t begin, int64_t size);
void Accumulate(const Vector& x, Vector* sum);
Vector RmsNorm(const Vector& x, const Vector& weight, double eps);
Vector L2Norm(const Vector& x);
// weight [N, K] times x [K].
Vector MatVec(const Tensor& weight, const Vector& x);
// Rotary embedding of each head of x, half-split pairing.
Vector RopeHeads(const Vector& x, int64_t position, int64_t head_dim, double theta);

struct KeyValue {
  Vector key, value;
};
// softmax(q K^T / sqrt(d)) V.
Vector Attend(const Vector& q, const std::vector<KeyValue>& seen);

// The tensors below one name prefix. The checkpoint must outlive it. Asking for a missing tensor
// CHECKs.
class LayerTensors {
 public:
  LayerTensors(const Checkpoint* checkpoint, std::string prefix)
      : checkpoint_(checkpoint), prefix_(std::move(prefix)) {}

  const Tensor& operator[](absl::string_view name) const;
  bool Has(absl::string_view name) const;
  // `name`.weight times x.
  Vector Apply(absl::string_view name, const Vector& x) const;
  // The same, plus `name`.bias if there is one.
  Vector ApplyWithBias(absl::string_view name, const Vector& x) const;

 private:
  const Checkpoint* checkpoint_;
  std::string prefix_;
};

}  // namespace winnow::reference

#endif  // WINNOW_TESTS_REFERENCE_REFERENCE_MATH_H_
