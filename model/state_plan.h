// PlanState: how a memory budget is divided into slots and pages, and how many sequences fit for
// sure.
#ifndef WINNOW_MODEL_STATE_PLAN_H_
#define WINNOW_MODEL_STATE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "model/state_spec.h"

namespace winnow {

struct StatePlan {
  int64_t num_slots = 0;   // usable, scratch excluded
  int64_t num_pages = 0;   // usable, scratch excluded
  int64_t slot_bytes = 0;  // per slot, page table included
  int64_t page_bytes = 0;
  int64_t total_bytes = 0;  // of slots and pages, scratch included: at most the budget
  // Pages that one sequence of any allowed length can need at most; none if pages grow and no
  // length limit was given.
  std::optional<int64_t> max_pages_per_sequence;
  // Sequences of the largest allowed size that run at the same time for sure: no other number is a
  // promise. 1 at least.
  int64_t sequences_for_sure = 0;
};

// Bounded kinds: as many sequences as the budget holds with all their pages, at most max_sequences.
// Growing kinds: slots for max_sequences (at most an eighth of the budget), the rest pages.
// RESOURCE_EXHAUSTED naming the needed and the given bytes if not even one sequence fits. REQUIRES
// max_sequences >= 1.
absl::StatusOr<StatePlan> PlanState(const StateSpec& spec, int64_t budget_bytes,
                                    int64_t max_sequences);

// The plan in words, several lines, for the server's start-up log.
std::string DescribePlan(const StateSpec& spec, const StatePlan& plan);

}  // namespace winnow

#endif  // WINNOW_MODEL_STATE_PLAN_H_
