#include "kernels/cpu/write_kv.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/check.h"

namespace winnow::cpu {
namespace {

// The keys and values of one sequence and head.
class HeadWriter {
 public:
  HeadWriter(const WriteKvArgs& args, int64_t sequence, int64_t head)
      : args_(args),
        pages_(args.pages),
        sequence_(sequence),
        head_(head),
        slot_(args.batch.slots[sequence]),
        first_row_(args.batch.row_offsets[sequence]),
        num_rows_(args.batch.row_offsets[sequence + 1] - first_row_),
        first_position_(args.batch.positions[first_row_]) {}

  // Before WriteRing, which takes the places of tokens that survive.
  void WriteSurvivors() {
    const int64_t* source =
        args_.plan->source + (sequence_ * pages_.num_kv_heads + head_) * args_.buffer_size;
    for (int64_t i = 0; i < args_.buffer_size; ++i) {
      if (source[i] == kUnchanged) continue;
      float* to = pages_.KeptKey<float>(slot_, head_, i);
      if (source[i] >= first_position_) {
        WriteOwn(source[i] - first_position_, to);
      } else {
        const float* from =
            pages_.RingKey<const float>(slot_, head_, source[i] % pages_.ring_tokens);
        Write(from, from + pages_.value_offset(), to);
      }
    }
  }

  void WriteRing() {
    for (int64_t row = std::max<int64_t>(0, num_rows_ - pages_.ring_tokens); row < num_rows_;
         ++row) {
      const int64_t place = (first_position_ + row) % pages_.ring_tokens;
      WriteOwn(row, pages_.RingKey<float>(slot_, head_, place));
    }
  }

 private:
  void WriteOwn(int64_t row, float* to) {
    const int64_t offset = head_ * pages_.head_dim;
    Write(args_.k.row<float>(first_row_ + row) + offset,
          args_.v.row<float>(first_row_ + row) + offset, to);
  }

  void Write(const float* key, const float* value, float* to) {
    const int64_t page = (reinterpret_cast<std::byte*>(to) - pages_.pool) / pages_.page_bytes;
    WINNOW_CHECK(page != 0 || slot_ == 0)
        << "slot " << slot_ << ", head " << head_ << ": a place without a page";
    const size_t bytes = static_cast<size_t>(pages_.head_dim) * sizeof(float);
    std::memcpy(to, key, bytes);
    std::memcpy(to + pages_.value_offset(), value, bytes);
  }

  const WriteKvArgs& args_;
  const LayerPages& pages_;
  const int64_t sequence_;
  const int64_t head_;
  const int64_t slot_;
  const int64_t first_row_;  // of the step
  const int64_t num_rows_;   // C
  const int64_t first_position_;
};

void CheckShapes(const WriteKvArgs& args) {
  const LayerPages& pages = args.pages;
  WINNOW_CHECK(pages.dtype == DType::kF32) << DTypeName(pages.dtype);
  WINNOW_CHECK(pages.ring_tokens > 0 && pages.page_tokens > 0);
  for (const TensorView& x : {args.k, args.v}) {
    WINNOW_CHECK(x.rank == 3 && x.dim(1) == pages.num_kv_heads && x.dim(2) == pages.head_dim)
        << x.dim(1) << " heads of " << x.dim(2) << " vs " << pages.num_kv_heads << " of "
        << pages.head_dim;
  }
}

}  // namespace

void WriteKv(ThreadPool& pool, const WriteKvArgs& args) {
  CheckShapes(args);
  const int64_t heads = args.pages.num_kv_heads;
  pool.Run(args.batch.num_sequences * heads, [&](int64_t task, int) {
    const int64_t sequence = task / heads;
    if (args.batch.row_offsets[sequence] == args.batch.row_offsets[sequence + 1]) return;
    HeadWriter writer(args, sequence, task % heads);
    if (args.plan != nullptr) writer.WriteSurvivors();
    writer.WriteRing();
  });
}

}  // namespace winnow::cpu
