// Comparison of a served model with the float64 reference, on random checkpoints of many shapes:
// every prompt position's log-probabilities, and the kept counts, however the prompt is cut, with
// state rings and without.
#ifndef WINNOW_TESTS_MODEL_REFERENCE_COMPARISON_H_
#define WINNOW_TESTS_MODEL_REFERENCE_COMPARISON_H_

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace winnow {

// A shape of a small model.
struct ReferenceCase {
  std::string name;
  std::string gated_delta = R"("num_heads": 2, "head_dim": 16, "expand_v": 1)";
  std::string attn = {};  // the attn block of config.json, or empty
  int num_tokens = 90;
};

std::vector<ReferenceCase> ReferenceCases();

// Which cuts are tried, where, and how far log-probabilities may be off.
struct ReferenceRun {
  Backend* backend = nullptr;  // not owned; null: a CPU backend
  std::vector<int> pieces;
  std::vector<int> page_tokens;
  std::vector<int> state_rings = {0};
  double bound = 0;
};

// Fails the test that calls it where they differ.
void ExpectEqualsReference(const ReferenceCase& c, const ReferenceRun& run);

}  // namespace winnow

#endif  // WINNOW_TESTS_MODEL_REFERENCE_COMPARISON_H_
