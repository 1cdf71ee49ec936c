// TestSlots: the fixed slots of some sequences for tests. Every byte has a pattern until a slot is
// zeroed, as it is when a sequence begins in it; slots that a step does not name must keep the
// pattern.
#ifndef WINNOW_KERNELS_CPU_TEST_SLOTS_H_
#define WINNOW_KERNELS_CPU_TEST_SLOTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/batch.h"

namespace winnow::cpu {

class TestSlots {
 public:
  // Slots 0 .. num_slots with fields of these sizes.
  TestSlots(int64_t num_slots, const std::vector<int64_t>& field_bytes) {
    for (const int64_t bytes : field_bytes) {
      offsets_.push_back(stride_);
      stride_ += (bytes + 63) / 64 * 64;
    }
    memory_.assign((num_slots + 1) * stride_, kPattern);
  }

  SlotField Field(int index) {
    SlotField field;
    field.base = memory_.data() + offsets_[index];
    field.slot_stride_bytes = stride_;
    return field;
  }

  void Zero(int64_t slot) { std::fill_n(memory_.begin() + slot * stride_, stride_, std::byte{0}); }

  bool Untouched(int64_t slot) const {
    const auto begin = memory_.begin() + slot * stride_;
    return std::all_of(begin, begin + stride_, [](std::byte b) { return b == kPattern; });
  }

 private:
  static constexpr std::byte kPattern{0xA5};

  int64_t stride_ = 64;
  std::vector<int64_t> offsets_;
  std::vector<std::byte> memory_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_TEST_SLOTS_H_
