#include "tools/random_tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/check.h"

namespace winnow {
namespace {

// The output function of SplitMix64 (Steele, Lea, Flood 2014): a bijection that scatters a counter.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// FNV-1a.
uint64_t Hash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Sum of four uniform 16-bit numbers, shifted and scaled: mean 0, variance 1, within +-3.47. Close
// enough to a normal distribution, and one multiply away from the random bits.
float Normal(uint64_t bits) {
  const uint64_t sum =
      (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
  constexpr float kScale = 1.7320508f / 65536;  // sqrt(3) / 2^16
  return (static_cast<float>(sum) - 131070.0f) * kScale;
}

// In [0, 1).
double Uniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

float ALog(uint64_t bits) {
  return static_cast<float>(std::log(std::max(16 * Uniform(bits), 0x1p-10)));
}

float DtBias(uint64_t bits) {
  const double low = std::log(0.001), high = std::log(0.1);
  const double dt = std::exp(low + (high - low) * Uniform(bits));
  return static_cast<float>(dt + std::log(-std::expm1(-dt)));  // inverse of softplus
}

void Store(float x, float* out) { *out = x; }
void Store(float x, BF16* out) { *out = ToBF16(x); }
void Store(float x, F16* out) { *out = ToF16(x); }

// Products that one output sums up.
float FanIn(const TensorSpec& spec) {
  return static_cast<float>(spec.num_elements() / spec.shape[0]);
}

float StandardDeviation(const TensorSpec& spec, const ModelConfig& config) {
  switch (spec.role) {
    case TensorRole::kEmbedding:
      // A tied head wants logits of order one.
      return config.tie_word_embeddings ? 2 / std::sqrt(FanIn(spec)) : 1;
    case TensorRole::kHead:
      return 2 / std::sqrt(FanIn(spec));
    case TensorRole::kProjection:
    case TensorRole::kShortConv:
      return 1 / std::sqrt(FanIn(spec));
    case TensorRole::kOutput:
      return std::sqrt(2 / (FanIn(spec) * config.layers.size()));
    case TensorRole::kRouterConv:
    case TensorRole::kRouterScore:
      return std::sqrt(2 / FanIn(spec));
    case TensorRole::kBias:
      return 0.2f;
    case TensorRole::kRouterBias:
    case TensorRole::kRouterScoreBias:
      return 0.1f;
    case TensorRole::kNorm:
    case TensorRole::kALog:
    case TensorRole::kDtBias:
      return 0;  // not normal
  }
  WINNOW_CHECK(false) << "role " << static_cast<int>(spec.role);
  return 0;
}

}  // namespace

F16 ToF16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const float magnitude = std::abs(x);
  if (std::isnan(x)) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (magnitude >= 65520) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (magnitude < 0x1p-14f) {  // subnormal: multiples of 2^-24
    return {static_cast<uint16_t>(sign | static_cast<uint16_t>(std::lrint(magnitude * 0x1p24f)))};
  }
  const uint32_t rounded = (bits & 0x7fffffff) + 0xfff + ((bits >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)))};
}

RandomTensor::RandomTensor(const TensorSpec& spec, const ModelConfig& config, uint64_t seed,
                           DType dtype)
    : role_(spec.role),
      dtype_(dtype),
      key_(Mix(seed + Hash(spec.same_as.empty() ? spec.name : spec.same_as))),
      stddev_(StandardDeviation(spec, config)) {}

void RandomTensor::Fill(int64_t first, int64_t count, std::byte* out) const {
  switch (dtype_) {
    case DType::kF32:
      return FillAs(first, count, reinterpret_cast<float*>(out));
    case DType::kF16:
      return FillAs(first, count, reinterpret_cast<F16*>(out));
    case DType::kBF16:
      return FillAs(first, count, reinterpret_cast<BF16*>(out));
    default:
      WINNOW_CHECK(false) << "dtype " << DTypeName(dtype_);
  }
}

template <typename Element>
void RandomTensor::FillAs(int64_t first, int64_t count, Element* out) const {
  const auto fill = [&](auto draw) {
    for (int64_t i = 0; i < count; ++i) {
      Store(draw(Mix(key_ + static_cast<uint64_t>(first + i) * 0x9e3779b97f4a7c15)), out + i);
    }
  };
  switch (role_) {
    case TensorRole::kNorm:
      return fill([](uint64_t bits) { return static_cast<float>(0.75 + 0.5 * Uniform(bits)); });
    case TensorRole::kALog:
      return fill(ALog);
    case TensorRole::kDtBias:
      return fill(DtBias);
    default:
      return fill([stddev = stddev_](uint64_t bits) { return stddev * Normal(bits); });
  }
}

}  // namespace winnow
