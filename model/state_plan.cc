#include "model/state_plan.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/check.h"

namespace winnow {
namespace {

// The part of the budget that slots of growing kinds may take.
constexpr int64_t kSlotShare = 8;

std::string Bytes(int64_t n) {
  if (n >= int64_t{1} << 30) return absl::StrFormat("%.2f GiB", n / 0x1p30);
  if (n >= int64_t{1} << 20) return absl::StrFormat("%.2f MiB", n / 0x1p20);
  return absl::StrFormat("%.1f KiB", n / 0x1p10);
}

absl::Status TooSmall(int64_t needed, int64_t given) {
  return absl::ResourceExhaustedError(absl::StrCat("state memory of ", given, " bytes (",
                                                   Bytes(given), ") holds no sequence: one needs ",
                                                   needed, " bytes (", Bytes(needed), ")"));
}

}  // namespace

absl::StatusOr<StatePlan> PlanState(const StateSpec& spec, int64_t budget_bytes,
                                    int64_t max_sequences) {
  WINNOW_CHECK(max_sequences >= 1) << max_sequences;
  StatePlan plan;
  plan.slot_bytes = spec.slot_total_bytes();
  plan.page_bytes = spec.page_bytes();
  plan.max_pages_per_sequence = spec.grows() && spec.max_sequence_tokens().has_value()
                                    ? spec.MaxPages(*spec.max_sequence_tokens())
                                    : spec.MaxPages();
  const int64_t most_pages = plan.max_pages_per_sequence.value_or(0);
  const int64_t sequence_bytes = plan.slot_bytes + most_pages * plan.page_bytes;
  const int64_t usable = budget_bytes - plan.slot_bytes - plan.page_bytes;  // less the scratch ones
  if (usable < sequence_bytes) {
    return TooSmall(sequence_bytes + plan.slot_bytes + plan.page_bytes, budget_bytes);
  }
  if (spec.grows()) {
    // Slots must leave the pages of one sequence of the largest size.
    const int64_t most_slots = (usable - most_pages * plan.page_bytes) / plan.slot_bytes;
    plan.num_slots = std::min({std::max<int64_t>(1, usable / kSlotShare / plan.slot_bytes),
                               most_slots, max_sequences});
    plan.num_pages = (usable - plan.num_slots * plan.slot_bytes) / plan.page_bytes;
  } else {
    plan.num_slots = std::min(usable / sequence_bytes, max_sequences);
    plan.num_pages = plan.num_slots * most_pages;
  }
  plan.sequences_for_sure =
      most_pages == 0 ? plan.num_slots : std::min(plan.num_slots, plan.num_pages / most_pages);
  plan.total_bytes =
      (plan.num_slots + 1) * plan.slot_bytes + (plan.num_pages + 1) * plan.page_bytes;
  return plan;
}

std::string DescribePlan(const StateSpec& spec, const StatePlan& plan) {
  std::string text = absl::StrCat("state memory ", Bytes(plan.total_bytes), ": ", plan.num_slots,
                                  " slots of ", Bytes(plan.slot_bytes), ", ", plan.num_pages,
                                  " pages of ", Bytes(plan.page_bytes), " (", spec.page_tokens(),
                                  " tokens of one layer and kv head)\n");
  if (spec.grows()) {
    absl::StrAppend(&text, "one sequence: grows with its length, at most ",
                    *plan.max_pages_per_sequence, " pages (",
                    Bytes(plan.slot_bytes + *plan.max_pages_per_sequence * plan.page_bytes),
                    ") at ", *spec.max_sequence_tokens(), " tokens\n");
  } else {
    absl::StrAppend(&text, "one sequence: at most ",
                    Bytes(plan.slot_bytes + *plan.max_pages_per_sequence * plan.page_bytes),
                    " (slot and ", *plan.max_pages_per_sequence, " pages), at any length\n");
  }
  absl::StrAppend(&text, plan.sequences_for_sure, " sequences fit for sure");
  return text;
}

}  // namespace winnow
