// StateStore: the memory of all sequences' state: slots, page tables, pages. No policy: the
// scheduler's pools decide who owns what.
//
// Memory belongs to the backend, taken once. Single-threaded, like the model that uses it.
#ifndef WINNOW_MODEL_STATE_STORE_H_
#define WINNOW_MODEL_STATE_STORE_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/batch.h"
#include "model/state_spec.h"
#include "model/step.h"

namespace winnow {

class StateStore {
 public:
  // num_slots and num_pages are usable ones; scratch slot and page come on top. `spec` is copied;
  // `backend` must outlive this.
  static absl::StatusOr<StateStore> Create(Backend* backend, const StateSpec& spec,
                                           int64_t num_slots, int64_t num_pages);

  const StateSpec& spec() const { return spec_; }
  int64_t num_slots() const { return num_slots_; }
  int64_t num_pages() const { return num_pages_; }

  // Copies slots (fields and page tables) and pages; see StepBatch.
  absl::Status CopySlots(absl::Span<const SlotCopy> copies);
  absl::Status CopyPages(absl::Span<const PageCopy> copies);
  // Zeroes the slots' fields and page tables.
  absl::Status ZeroSlots(absl::Span<const int32_t> slots);
  absl::Status ZeroScratchSlot();
  // In order: of several edits of one entry the last one stays.
  absl::Status ApplyEdits(absl::Span<const PageTableEdit> edits);

  // Views for kernels.
  SlotField Field(int layer, std::string_view name) const;
  const LayerPages& Pages(int layer) const;
  // How many entries the state rings of a slot hold. REQUIRES: spec().state_ring() > 0.
  SlotField RingCount() const;
  // "kept_count" of every layer that has it, in order.
  std::vector<SlotField> KeptCounts() const { return FieldsNamed("kept_count"); }

 private:
  StateStore(Backend* backend, const StateSpec& spec, int64_t num_slots, int64_t num_pages)
      : backend_(backend), spec_(spec), num_slots_(num_slots), num_pages_(num_pages) {}
  void BuildViews();
  std::vector<SlotField> FieldsNamed(std::string_view name) const;
  void CheckSlot(int32_t slot) const;  // CHECKs that it is a usable one
  void CheckPage(int32_t page) const;  // likewise
  // Each entry's last edit, ascending.
  std::vector<TableEdit> LastEdits(absl::Span<const PageTableEdit> edits) const;

  Backend* backend_;
  StateSpec spec_;
  int64_t num_slots_;
  int64_t num_pages_;
  DeviceBuffer slots_;                   // [num_slots + 1, slot_bytes]
  DeviceBuffer tables_;                  // [num_slots + 1, table_entries] int32
  DeviceBuffer pages_;                   // [num_pages + 1, page_bytes]
  DeviceBuffer edits_;                   // [kMaxEditsAtOnce] TableEdit
  std::vector<LayerPages> layer_pages_;  // by layer; empty views for layers without pages
};

}  // namespace winnow

#endif  // WINNOW_MODEL_STATE_STORE_H_
