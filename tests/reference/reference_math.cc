#include "tests/reference/reference_math.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace winnow::reference {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Silu(double x) { return x * Sigmoid(x); }
double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

Vector Slice(const Vector& x, int64_t begin, int64_t size) {
  return Vector(x.begin() + begin, x.begin() + begin + size);
}

void Accumulate(const Vector& x, Vector* sum) {
  for (size_t i = 0; i < x.size(); ++i) (*sum)[i] += x[i];
}

Vector RmsNorm(const Vector& x, const Vector& weight, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double scale = 1 / std::sqrt(squares / x.size() + eps);
  Vector out(x.size());
  for (size_t i = 0; i < x.size(); ++i) out[i] = x[i] * scale * weight[i];
  return out;
}

Vector L2Norm(const Vector& x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  Vector out = x;
  for (double& v : out) v /= std::sqrt(squares + 1e-6);
  return out;
}

Vector MatVec(const Tensor& weight, const Vector& x) {
  const int64_t n = weight.shape[0], k = weight.shape[1];
  WINNOW_CHECK(k == static_cast<int64_t>(x.size())) << k << " " << x.size();
  Vector out(n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) out[i] += weight.data[i * k + j] * x[j];
  }
  return out;
}

Vector RopeHeads(const Vector& x, int64_t position, int64_t head_dim, double theta) {
  const int64_t half = head_dim / 2;
  Vector out = x;
  for (size_t first = 0; first < x.size(); first += head_dim) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = position * std::pow(theta, -static_cast<double>(i) / half);
      const double c = std::cos(angle), s = std::sin(angle);
      const double a = x[first + i], b = x[first + half + i];
      out[first + i] = a * c - b * s;
      out[first + half + i] = a * s + b * c;
    }
  }
  return out;
}

Vector Attend(const Vector& q, const std::vector<KeyValue>& seen) {
  Vector scores(seen.size());
  for (size_t i = 0; i < seen.size(); ++i) {
    for (size_t d = 0; d < q.size(); ++d) scores[i] += q[d] * seen[i].key[d];
    scores[i] /= std::sqrt(static_cast<double>(q.size()));
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  Vector out(q.size(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double p = std::exp(scores[i] - most);
    sum += p;
    for (size_t d = 0; d < q.size(); ++d) out[d] += p * seen[i].value[d];
  }
  for (double& v : out) v /= sum;
  return out;
}

const Tensor& LayerTensors::operator[](absl::string_view name) const {
  const auto it = checkpoint_->find(absl::StrCat(prefix_, name));
  WINNOW_CHECK(it != checkpoint_->end()) << prefix_ << name;
  return it->second;
}

bool LayerTensors::Has(absl::string_view name) const {
  return checkpoint_->contains(absl::StrCat(prefix_, name));
}

Vector LayerTensors::Apply(absl::string_view name, const Vector& x) const {
  return MatVec((*this)[absl::StrCat(name, ".weight")], x);
}

Vector LayerTensors::ApplyWithBias(absl::string_view name, const Vector& x) const {
  Vector out = Apply(name, x);
  const std::string bias = absl::StrCat(name, ".bias");
  if (Has(bias)) Accumulate((*this)[bias].data, &out);
  return out;
}

}  // namespace winnow::reference
