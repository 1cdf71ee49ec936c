// RouterRecord: a backend that keeps the router's scores of a text, or puts those of another run in
// their place, so that two runs that round differently keep the same tokens.
#ifndef WINNOW_TESTS_GPU_ROUTER_RECORD_H_
#define WINNOW_TESTS_GPU_ROUTER_RECORD_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/testing/forwarding_backend.h"
#include "model/config.h"

namespace winnow {

// scores[layer][row][head]: of the layers with eviction, in order; row r of the text holds the
// score of the token `margin` before it.
using RouterScoreRows = std::vector<std::vector<std::vector<float>>>;

class RouterRecord : public testing::ForwardingBackend {
 public:
  // `to` must outlive this. `forced`, if not null, replaces all scores, and must too.
  RouterRecord(Backend* to, const ModelConfig& config, const RouterScoreRows* forced);

  absl::Status RouterScores(const RouterScoresArgs& args) override;

  const RouterScoreRows& scores() const { return scores_; }
  // Before another text.
  void Clear();

 private:
  const RouterScoreRows* const forced_;
  RouterScoreRows scores_;
  size_t layer_ = 0;  // of the next call
};

// A token that one run keeps and the other does not, ever.
struct RetentionFlip {
  size_t layer = 0;  // of those with eviction
  int64_t position = 0;
  float score = 0;       // in the first run
  float difference = 0;  // of the scores
  bool follows = false;  // a flip of a layer below had changed what this score is made from
};

// Replays what each head of each layer keeps under the scores of two runs.
std::vector<RetentionFlip> RetentionFlips(const AttentionConfig& config, int64_t margin,
                                          const RouterScoreRows& a, const RouterScoreRows& b);

}  // namespace winnow

#endif  // WINNOW_TESTS_GPU_ROUTER_RECORD_H_
