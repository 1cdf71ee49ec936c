// Window + learned eviction token by token in float64, written from the definition: one token in,
// one row of outputs out. For tests only; shares no code with the kernels.
#ifndef WINNOW_KERNELS_CPU_EVICTION_REFERENCE_H_
#define WINNOW_KERNELS_CPU_EVICTION_REFERENCE_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/ops/attention.h"

namespace winnow::cpu {

struct ConvShape {
  int64_t out = 1;
  int64_t size = 1;
  int64_t dilation = 1;
};

// An LTE layer's structure.
struct EvictionShape {
  int64_t kv_heads = 1;
  int64_t group = 1;  // query heads per kv head
  int64_t head_dim = 4;
  int64_t window = 8;
  int64_t buffer = 4;
  int64_t sink = 0;
  std::vector<ConvShape> convs;
  bool shared = false;  // one filter bank for all heads
  RoutingMethod method = RoutingMethod::kSigmoid;
  uint64_t random_seed = 0;  // of kRandom
};

// Random router weights and their view.
class RouterModel {
 public:
  RouterModel(const EvictionShape& shape, uint64_t seed);
  RouterModel(const RouterModel&) = delete;
  RouterModel& operator=(const RouterModel&) = delete;

  const RouterWeights& weights() const { return weights_; }

 private:
  std::vector<std::vector<float>> storage_;
  RouterWeights weights_;
};

// All tokens of one sequence.
struct EvictionTokens {
  int64_t size = 0;
  std::vector<float> q;      // [N, Hkv * G, D]
  std::vector<float> k_raw;  // [N, Hkv, D] what the router sees
  std::vector<float> k;      // [N, Hkv, D]
  std::vector<float> v;      // [N, Hkv, D]
};
EvictionTokens MakeEvictionTokens(const EvictionShape& shape, int64_t size, uint64_t seed);

// Scores [N - margin, Hkv] of all tokens that have `margin` successors. Every layer is evaluated
// for all positions at once.
std::vector<double> ReferenceScores(const EvictionShape& shape, const RouterModel& router,
                                    const EvictionTokens& tokens);

// One head's kept set as dictionaries would have it.
class ReferenceHead {
 public:
  struct Kept {
    double score = 0;
    int64_t position = 0;
  };

  ReferenceHead(int64_t buffer, int64_t sink) : buffer_(buffer), sink_(sink) {}

  // The token at `position`, with the highest score `score`, leaves the window.
  void Retire(int64_t position, double score);

  // By kept slot: a newcomer takes the next free slot, else that of the token it displaces.
  const std::vector<Kept>& kept() const { return kept_; }
  // The smallest difference that decided anything: rounding errors above it could have decided
  // otherwise.
  double closest_call() const { return closest_call_; }

 private:
  int64_t buffer_;
  int64_t sink_;
  std::vector<Kept> kept_;
  double closest_call_ = std::numeric_limits<double>::infinity();
};

// A whole layer for one sequence.
class ReferenceEviction {
 public:
  ReferenceEviction(const EvictionShape& shape, const RouterModel& router,
                    const EvictionTokens& tokens);

  // Outputs of every token, [N, Hkv * G, D].
  const std::vector<double>& outputs() const { return outputs_; }
  const std::vector<ReferenceHead>& heads() const { return heads_; }
  double closest_call() const;

 private:
  void Attend(int64_t t, int64_t query_head);

  const EvictionShape& shape_;
  const EvictionTokens& tokens_;
  std::vector<ReferenceHead> heads_;
  std::vector<double> outputs_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_EVICTION_REFERENCE_H_
