// Window + learnable token eviction (arXiv 2510.20787) in float64, token by token.
#ifndef WINNOW_TESTS_REFERENCE_REFERENCE_EVICTION_H_
#define WINNOW_TESTS_REFERENCE_REFERENCE_EVICTION_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "model/config.h"
#include "tests/reference/reference_math.h"
#include "tests/reference/reference_model.h"

namespace winnow::reference {

// A query at t sees, per kv head, the window (t - j <= window_size) and what was kept. When token j
// leaves the window it is kept if its score is > 0 (the first sink_size tokens: +inf) and the head
// has room or the score strictly beats the lowest kept one, which goes then (of equal lowest ones
// the oldest). A buffer of 0 keeps nothing.
class EvictionAttention : public Mixer {
 public:
  EvictionAttention(const AttentionConfig& config, LayerTensors weights);

  Vector Step(const Vector& x, int64_t position) override;
  std::vector<int64_t> KeptCounts() const override;

 private:
  struct Kept {
    double score = 0;
    int64_t position = 0;
    KeyValue kv;
  };

  // The router's score of token j for one head, from the raw [k, v] of its neighbourhood.
  double Score(int64_t j, int64_t head) const;
  // Output of the first `depth` convolutions at position p; all zero for p < 0.
  Vector RouterOutput(size_t depth, int64_t p, int64_t head) const;
  void Retire(int64_t j);

  const AttentionConfig c_;
  const LayerTensors w_;
  std::map<int64_t, Vector> raw_;                    // position -> [Hkv, 2 D], k and v before RoPE
  std::map<int64_t, std::vector<KeyValue>> window_;  // position -> per head
  std::vector<std::vector<Kept>> kept_;              // per head
};

}  // namespace winnow::reference

#endif  // WINNOW_TESTS_REFERENCE_REFERENCE_EVICTION_H_
