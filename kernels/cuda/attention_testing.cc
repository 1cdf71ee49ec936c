#include "kernels/cuda/attention_testing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace winnow::cuda::testing {
namespace {

constexpr int64_t kNonsense = 0x7777777777777777;  // a time after all others
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

int64_t CeilDivide(int64_t n, int64_t d) { return (n + d - 1) / d; }

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

float ElementAt(const std::vector<std::byte>& bytes, DType dtype, int64_t i) {
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, &bytes[i * 4], 4);
    return x;
  }
  BF16 x;
  std::memcpy(&x, &bytes[i * 2], 2);
  return ToFloat(x);
}

}  // namespace

AttentionStep::AttentionStep(const AttentionShape& shape, DType dtype,
                             const std::vector<AttentionSequence>& sequences)
    : s_(shape), dtype_(dtype), sequences_(sequences) {
  int64_t longest = 1;
  for (const AttentionSequence& sequence : sequences) {
    row_offsets_.push_back(static_cast<int32_t>(num_rows_ += sequence.rows));
    longest = std::max(longest, sequence.position + 1);
  }
  // Of full attention larger than any position; of a window without a plan any size from V on.
  const bool full = s_.span == kNeverExpires;
  ring_tokens_ = full ? kNeverExpires : s_.span + (s_.evicts ? 0 : 3);
  ring_entries_ = CeilDivide(full ? longest : ring_tokens_, s_.page_tokens);
  kept_entries_ = s_.evicts ? CeilDivide(s_.buffer_size, s_.page_tokens) : 0;
  table_stride_ = s_.kv_heads * (ring_entries_ + kept_entries_) + 3;
  const int64_t num_slots = static_cast<int64_t>(sequences.size()) + 2;
  tables_.resize(num_slots * table_stride_);
  std::iota(tables_.begin(), tables_.end(), 1);
  std::mt19937_64 rng(77 + sequences.size());
  std::shuffle(tables_.begin(), tables_.end(), rng);
  slots_.resize(sequences.size());
  std::iota(slots_.begin(), slots_.end(), 1);
  std::shuffle(slots_.begin(), slots_.end(), rng);

  const int64_t lists = static_cast<int64_t>(sequences.size()) * s_.kv_heads;
  const int64_t element = DTypeBytes(dtype);
  const auto not_a_number = [&](int64_t count) {
    std::vector<std::byte> bytes(count * element);
    PutElements(bytes, 0, std::vector<float>(count, kNaN));
    return bytes;
  };
  pool_ = not_a_number((num_slots * table_stride_ + 1) * 2 * s_.page_tokens * s_.head_dim);
  q_ = not_a_number(num_rows_ * row_stride(s_.kv_heads * s_.group));
  out_ = q_;
  k_ = not_a_number(num_rows_ * row_stride(s_.kv_heads));
  v_ = k_;
  kept_before_.assign(lists, 0);
  kept_expiry_.assign(lists * s_.buffer_size, kNonsense);
  ring_expiry_.assign(s_.evicts ? lists * s_.span : 0, kNonsense);
  chunk_expiry_.assign(num_rows_ * s_.kv_heads, kNonsense);
  keys_.resize(lists);
  for (size_t i = 0; i < sequences.size(); ++i) AddSequence(i, sequences[i]);
}

void AttentionStep::AddSequence(size_t index, const AttentionSequence& sequence) {
  std::mt19937_64 rng(sequence.seed);
  const int64_t heads = s_.kv_heads * s_.group;
  for (int64_t row = 0; row < sequence.rows; ++row) {
    positions_.push_back(sequence.position + row);
    queries_.push_back(RandomRow(heads * s_.head_dim, 2, rng));
    PutElements(q_, (row_offsets_[index] + row) * row_stride(heads), queries_.back());
  }
  for (int64_t head = 0; head < s_.kv_heads; ++head) AddHead(index, sequence, head, rng);
}

void AttentionStep::AddHead(size_t index, const AttentionSequence& sequence, int64_t head,
                            std::mt19937_64& rng) {
  const int64_t list = static_cast<int64_t>(index) * s_.kv_heads + head, p0 = sequence.position;
  const int64_t table = slots_[index] * table_stride_;
  if (s_.evicts && s_.buffer_size > 0) {
    // None, all and any number of places in use.
    const int64_t choice = static_cast<int64_t>(rng() % 3);
    const int64_t count = choice == 0   ? 0
                          : choice == 1 ? s_.buffer_size
                                        : static_cast<int64_t>(rng() % (s_.buffer_size + 1));
    kept_before_[list] = static_cast<int32_t>(count);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t end = kept_expiry_[list * s_.buffer_size + i] = RandomEnd(sequence, rng);
      const Key key = NewKey(sequence, 0, end, rng);
      const int64_t first = s_.kv_heads * ring_entries_ + head * kept_entries_;
      PutInPage(table + first + i / s_.page_tokens, i % s_.page_tokens, key);
      keys_[list].push_back(key);
    }
  }
  const auto in_window = [&](int64_t j) {
    return s_.span >= kNeverExpires - j ? kNeverExpires : j + s_.span;
  };
  for (int64_t j = std::max<int64_t>(0, s_.span >= p0 ? 0 : p0 - s_.span); j < p0; ++j) {
    const int64_t end = s_.evicts && rng() % 2 == 0 ? RandomEnd(sequence, rng) : in_window(j);
    if (s_.evicts) ring_expiry_[list * s_.span + j % s_.span] = end;
    const Key key = NewKey(sequence, j, end, rng);
    const int64_t place = j % ring_tokens_;
    PutInPage(table + head * ring_entries_ + place / s_.page_tokens, place % s_.page_tokens, key);
    keys_[list].push_back(key);
  }
  for (int64_t row = 0; row < sequence.rows; ++row) {
    const int64_t at = row_offsets_[index] + row;
    // A query sees itself.
    const int64_t end = s_.evicts && rng() % 2 == 0
                            ? std::max(p0 + row + 1, RandomEnd(sequence, rng))
                            : in_window(p0 + row);
    chunk_expiry_[at * s_.kv_heads + head] = end;
    const Key key = NewKey(sequence, p0 + row, end, rng);
    PutElements(k_, at * row_stride(s_.kv_heads) + head * s_.head_dim, key.k);
    PutElements(v_, at * row_stride(s_.kv_heads) + head * s_.head_dim, key.v);
    keys_[list].push_back(key);
  }
}

AttentionStep::Key AttentionStep::NewKey(const AttentionSequence& sequence, int64_t start,
                                         int64_t end, std::mt19937_64& rng) {
  Key key = {start, end, RandomRow(s_.head_dim, 1, rng), RandomRow(s_.head_dim, 2, rng)};
  const int64_t first = sequence.position;
  if (end <= first || start >= first + sequence.rows) {
    key.k.assign(s_.head_dim, kNaN);
    key.v.assign(s_.head_dim, kNaN);
  }
  return key;
}

// Before the step's first query, with it, after any of its queries, after all, never.
int64_t AttentionStep::RandomEnd(const AttentionSequence& sequence, std::mt19937_64& rng) const {
  switch (rng() % 4) {
    case 0:
      return std::max<int64_t>(1, sequence.position - static_cast<int64_t>(rng() % 3));
    case 1:
      return kNeverExpires;
    default:
      return sequence.position + 1 + static_cast<int64_t>(rng() % (sequence.rows + 1));
  }
}

void AttentionStep::PutInPage(int64_t entry, int64_t place, const Key& key) {
  const int64_t at = (tables_[entry] * 2 * s_.page_tokens + place) * s_.head_dim;
  PutElements(pool_, at, key.k);
  PutElements(pool_, at + s_.page_tokens * s_.head_dim, key.v);
}

void AttentionStep::PutElements(std::vector<std::byte>& to, int64_t at,
                                const std::vector<float>& values) const {
  for (const float x : values) {
    const BF16 narrow = ToBF16(x);
    const int64_t bytes = DTypeBytes(dtype_);
    std::memcpy(&to[at++ * bytes], dtype_ == DType::kF32 ? static_cast<const void*>(&x) : &narrow,
                bytes);
  }
}

std::vector<float> AttentionStep::RandomRow(int64_t size, float most, std::mt19937_64& rng) const {
  std::uniform_real_distribution<float> draw(-most, most);
  std::vector<float> values(size);
  for (float& x : values) {
    x = draw(rng);
    if (dtype_ == DType::kBF16) x = ToFloat(ToBF16(x));
  }
  return values;
}

AttentionArgs AttentionStep::Args(const Place& place, KeptPlan* plan) const {
  const auto view = [&](const std::vector<std::byte>& bytes, int64_t heads) {
    TensorView x = TensorView::Of(place(bytes), dtype_, {num_rows_, heads, s_.head_dim});
    x.row_stride = row_stride(heads);
    return x;
  };
  const auto array = [&](const auto& values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    return reinterpret_cast<T*>(place(BytesOf(values)));
  };
  *plan = {.kept_before = array(kept_before_),
           .kept_expiry = array(kept_expiry_),
           .ring_expiry = array(ring_expiry_),
           .chunk_expiry = array(chunk_expiry_)};
  AttentionArgs args;
  args.batch.num_tokens = num_rows_;
  args.batch.num_sequences = static_cast<int64_t>(sequences_.size());
  for (const AttentionSequence& sequence : sequences_) {
    args.batch.max_tokens_per_sequence =
        std::max(args.batch.max_tokens_per_sequence, sequence.rows);
  }
  args.batch.positions = array(positions_);
  args.batch.row_offsets = array(row_offsets_);
  args.batch.slots = array(slots_);
  args.q = view(q_, s_.kv_heads * s_.group);
  args.k = view(k_, s_.kv_heads);
  args.v = view(v_, s_.kv_heads);
  args.out = view(out_, s_.kv_heads * s_.group);
  args.pages.pool = place(pool_);
  args.pages.page_bytes = 2 * s_.page_tokens * s_.head_dim * DTypeBytes(dtype_);
  args.pages.page_tokens = s_.page_tokens;
  args.pages.head_dim = s_.head_dim;
  args.pages.num_kv_heads = s_.kv_heads;
  args.pages.dtype = dtype_;
  args.pages.tables = array(tables_);
  args.pages.table_stride = table_stride_;
  args.pages.ring_tokens = ring_tokens_;
  args.pages.ring_entries_per_head = ring_entries_;
  args.pages.kept_first_entry = s_.kv_heads * ring_entries_;
  args.pages.kept_entries_per_head = kept_entries_;
  args.span = s_.span;
  args.plan = s_.evicts ? plan : nullptr;
  args.buffer_size = s_.evicts ? s_.buffer_size : 0;
  return args;
}

std::vector<float> AttentionStep::Rows(const std::vector<std::byte>& out) const {
  const int64_t size = s_.kv_heads * s_.group * s_.head_dim;
  std::vector<float> rows;
  for (int64_t row = 0; row < num_rows_; ++row) {
    for (int64_t i = 0; i < size; ++i) {
      rows.push_back(ElementAt(out, dtype_, row * row_stride(s_.kv_heads * s_.group) + i));
    }
  }
  return rows;
}

bool AttentionStep::GapsIntact(const std::vector<std::byte>& out) const {
  const int64_t stride = row_stride(s_.kv_heads * s_.group), bytes = DTypeBytes(dtype_);
  for (int64_t row = 0; row < num_rows_; ++row) {
    const int64_t gap = ((row + 1) * stride - s_.row_gap) * bytes;
    if (std::memcmp(&out[gap], &out_[gap], s_.row_gap * bytes) != 0) return false;
  }
  return true;
}

std::vector<double> AttentionStep::Reference() const {
  std::vector<double> out;
  const int64_t dim = s_.head_dim;
  for (size_t i = 0; i < sequences_.size(); ++i) {
    for (int64_t row = 0; row < sequences_[i].rows; ++row) {
      const int64_t t = sequences_[i].position + row;
      for (int64_t h = 0; h < s_.kv_heads * s_.group; ++h) {
        const float* q = &queries_[row_offsets_[i] + row][h * dim];
        std::vector<double> sums(dim, 0);
        std::vector<std::pair<double, const Key*>> scores;
        double most = -std::numeric_limits<double>::infinity(), total = 0;
        for (const Key& key : keys_[i * s_.kv_heads + h / s_.group]) {
          if (t < key.start || t >= key.end) continue;
          const double score = std::inner_product(key.k.begin(), key.k.end(), q, 0.0);
          scores.emplace_back(score / std::sqrt(static_cast<double>(dim)), &key);
          most = std::max(most, scores.back().first);
        }
        for (const auto& [score, key] : scores) {
          const double weight = std::exp(score - most);
          total += weight;
          for (int64_t d = 0; d < dim; ++d) sums[d] += weight * key->v[d];
        }
        for (const double sum : sums) out.push_back(sum / total);
      }
    }
  }
  return out;
}

}  // namespace winnow::cuda::testing
