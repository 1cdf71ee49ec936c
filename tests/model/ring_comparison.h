// Comparison of a model with state rings with the same model without: random steps of single tokens
// and of pieces, mixed, with sequences that begin anew and that are forked.
#ifndef WINNOW_TESTS_MODEL_RING_COMPARISON_H_
#define WINNOW_TESTS_MODEL_RING_COMPARISON_H_

#include <cstdint>

#include "kernels/backend.h"

namespace winnow {

// Neither backend is owned.
struct RingRun {
  Backend* backend = nullptr;       // of the model without rings
  Backend* ring_backend = nullptr;  // of the one with: the same, or one that computes the same
  int64_t state_ring = 0;
  bool evicts = true;  // with a layer whose learned eviction must decide alike
  double bound = 0;    // how far log-probabilities may be off
};

// Fails the test that calls it where they differ.
void ExpectRingChangesNothing(const RingRun& run);

}  // namespace winnow

#endif  // WINNOW_TESTS_MODEL_RING_COMPARISON_H_
