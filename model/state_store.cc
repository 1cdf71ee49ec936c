#include "model/state_store.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace winnow {
namespace {

// Edits of page tables that travel together.
constexpr int64_t kMaxEditsAtOnce = int64_t{1} << 16;

// The layer's view, without memory: which entries of the page table are its lists.
LayerPages DescribeLayer(const StateSpec& spec, int layer) {
  LayerPages view;
  view.page_bytes = spec.page_bytes();
  view.page_tokens = spec.page_tokens();
  view.dtype = spec.page_dtype();
  view.head_dim = spec.page_bytes() / (2 * spec.page_tokens() * DTypeBytes(spec.page_dtype()));
  view.table_stride = spec.table_entries();
  for (const PageList& list : spec.lists()) {
    if (list.layer != layer) continue;
    view.num_kv_heads = std::max<int64_t>(view.num_kv_heads, list.kv_head + 1);
    if (list.kind == PageListKind::kKept) {
      if (list.kv_head == 0) view.kept_first_entry = list.first_entry;
      view.kept_entries_per_head = list.max_pages;
    } else {
      if (list.kv_head == 0) view.ring_first_entry = list.first_entry;
      view.ring_entries_per_head = list.max_pages;
      view.ring_tokens = list.kind == PageListKind::kGrowing ? kNeverExpires : list.capacity;
    }
  }
  return view;
}

}  // namespace

absl::StatusOr<StateStore> StateStore::Create(Backend* backend, const StateSpec& spec,
                                              int64_t num_slots, int64_t num_pages) {
  WINNOW_CHECK(num_slots >= 1 && num_pages >= 0) << num_slots << " " << num_pages;
  StateStore store(backend, spec, num_slots, num_pages);
  const auto allocate = [&](DeviceBuffer* buffer, int64_t bytes) {
    if (bytes == 0) return absl::OkStatus();  // a model without attention has no pages
    auto memory = backend->Allocate(bytes);
    if (memory.ok()) *buffer = *std::move(memory);
    return memory.status();
  };
  absl::Status status = allocate(&store.slots_, (num_slots + 1) * spec.slot_bytes());
  status.Update(allocate(&store.tables_, (num_slots + 1) * spec.table_entries() * 4));
  status.Update(allocate(&store.pages_, (num_pages + 1) * spec.page_bytes()));
  if (spec.table_entries() > 0) {
    status.Update(
        allocate(&store.edits_, kMaxEditsAtOnce * static_cast<int64_t>(sizeof(TableEdit))));
  }
  if (!status.ok()) return status;
  store.BuildViews();
  return store;
}

void StateStore::BuildViews() {
  int num_layers = 0;
  for (const PageList& list : spec_.lists()) num_layers = std::max(num_layers, list.layer + 1);
  for (int layer = 0; layer < num_layers; ++layer) {
    LayerPages view = DescribeLayer(spec_, layer);
    view.pool = pages_.data();
    view.tables = reinterpret_cast<const int32_t*>(tables_.data());
    layer_pages_.push_back(view);
  }
}

void StateStore::CheckSlot(int32_t slot) const {
  WINNOW_CHECK(0 < slot && slot <= num_slots_) << "slot " << slot << " of " << num_slots_;
}

void StateStore::CheckPage(int32_t page) const {
  WINNOW_CHECK(0 < page && page <= num_pages_) << "page " << page << " of " << num_pages_;
}

absl::Status StateStore::CopySlots(absl::Span<const SlotCopy> copies) {
  const int64_t slot_bytes = spec_.slot_bytes(), table_bytes = spec_.table_entries() * 4;
  absl::Status status;
  for (const SlotCopy& copy : copies) {
    CheckSlot(copy.from);
    CheckSlot(copy.to);
    status.Update(backend_->Copy(slots_.data() + copy.to * slot_bytes,
                                 slots_.data() + copy.from * slot_bytes, slot_bytes));
    if (table_bytes == 0) continue;  // a model without attention has no tables
    status.Update(backend_->Copy(tables_.data() + copy.to * table_bytes,
                                 tables_.data() + copy.from * table_bytes, table_bytes));
  }
  return status;
}

absl::Status StateStore::CopyPages(absl::Span<const PageCopy> copies) {
  const int64_t page_bytes = spec_.page_bytes();
  absl::Status status;
  for (const PageCopy& copy : copies) {
    CheckPage(copy.from);
    CheckPage(copy.to);
    status.Update(backend_->Copy(pages_.data() + copy.to * page_bytes,
                                 pages_.data() + copy.from * page_bytes, page_bytes));
  }
  return status;
}

absl::Status StateStore::ZeroSlots(absl::Span<const int32_t> slots) {
  const int64_t table_bytes = spec_.table_entries() * 4;
  absl::Status status;
  for (const int32_t slot : slots) {
    CheckSlot(slot);
    status.Update(backend_->Zero(slots_.data() + slot * spec_.slot_bytes(), spec_.slot_bytes()));
    if (table_bytes == 0) continue;
    status.Update(backend_->Zero(tables_.data() + slot * table_bytes, table_bytes));
  }
  return status;
}

absl::Status StateStore::ZeroScratchSlot() {
  return backend_->Zero(slots_.data() + kScratchSlot * spec_.slot_bytes(), spec_.slot_bytes());
}

std::vector<TableEdit> StateStore::LastEdits(absl::Span<const PageTableEdit> edits) const {
  std::vector<TableEdit> all;
  all.reserve(edits.size());
  for (const PageTableEdit& edit : edits) {
    CheckSlot(edit.slot);
    WINNOW_CHECK(0 <= edit.entry && edit.entry < spec_.table_entries()) << "entry " << edit.entry;
    if (edit.page != kScratchPage) CheckPage(edit.page);
    all.push_back({.entry = edit.slot * spec_.table_entries() + edit.entry, .page = edit.page});
  }
  const auto by_entry = [](const TableEdit& a, const TableEdit& b) { return a.entry < b.entry; };
  std::stable_sort(all.begin(), all.end(), by_entry);
  std::vector<TableEdit> last;
  for (const TableEdit& edit : all) {
    if (!last.empty() && last.back().entry == edit.entry) last.pop_back();
    last.push_back(edit);
  }
  return last;
}

absl::Status StateStore::ApplyEdits(absl::Span<const PageTableEdit> edits) {
  if (edits.empty()) return absl::OkStatus();
  const std::vector<TableEdit> last = LastEdits(edits);
  const int64_t count = static_cast<int64_t>(last.size());
  absl::Status status;
  for (int64_t begin = 0; begin < count; begin += kMaxEditsAtOnce) {
    const int64_t n = std::min(kMaxEditsAtOnce, count - begin);
    status.Update(backend_->Upload(edits_.data(), last.data() + begin,
                                   n * static_cast<int64_t>(sizeof(TableEdit))));
    status.Update(backend_->EditTables({.tables = reinterpret_cast<int32_t*>(tables_.data()),
                                        .edits = reinterpret_cast<const TableEdit*>(edits_.data()),
                                        .num_edits = n}));
  }
  return status;
}

SlotField StateStore::RingCount() const {
  const std::vector<SlotField> fields = FieldsNamed("ring_count");
  WINNOW_CHECK(fields.size() == 1) << fields.size() << " counts";
  return fields[0];
}

std::vector<SlotField> StateStore::FieldsNamed(std::string_view name) const {
  std::vector<SlotField> fields;
  for (const StateField& field : spec_.fields()) {
    if (field.name == name) {
      fields.push_back({slots_.data() + field.offset, spec_.slot_bytes()});
    }
  }
  return fields;
}

SlotField StateStore::Field(int layer, std::string_view name) const {
  return {slots_.data() + spec_.field(layer, name).offset, spec_.slot_bytes()};
}

const LayerPages& StateStore::Pages(int layer) const {
  WINNOW_CHECK(static_cast<size_t>(layer) < layer_pages_.size()) << "layer " << layer;
  return layer_pages_[layer];
}

}  // namespace winnow
