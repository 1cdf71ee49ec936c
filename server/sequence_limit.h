// The longest sequence that a memory budget supports, for models whose state grows with the text.
// Pure functions.
#ifndef WINNOW_SERVER_SEQUENCE_LIMIT_H_
#define WINNOW_SERVER_SEQUENCE_LIMIT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/state_spec.h"

namespace winnow {

// Whether some layer keeps every token.
bool GrowsWithLength(const ModelConfig& config);

// The greatest number of tokens, at most 2^20, of which four sequences fit for sure (as many as
// max_sequences, if that is fewer), or one if the memory is too small for several of 1024 tokens.
// RESOURCE_EXHAUSTED if no sequence fits at all.
absl::StatusOr<int64_t> ChooseSequenceLimit(const ModelConfig& config, StateSpecOptions options,
                                            int64_t budget_bytes, int64_t max_sequences);

}  // namespace winnow

#endif  // WINNOW_SERVER_SEQUENCE_LIMIT_H_
