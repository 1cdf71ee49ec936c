// For tests of the attention kernels on the GPU: steps with random inputs, expiries at every edge
// and scattered slots and pages, and the definition in float64.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_TESTING_H_
#define WINNOW_KERNELS_CUDA_ATTENTION_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/ops/attention.h"

namespace winnow::cuda::testing {

struct AttentionShape {
  int64_t kv_heads = 1, group = 1, head_dim = 64, page_tokens = 16;
  int64_t span = 24;        // V; kNeverExpires: full attention
  int64_t buffer_size = 0;  // K
  bool evicts = false;      // with a plan
  int64_t row_gap = 8;      // elements between rows beyond their own
};

// What one sequence computes in the step. The same seed gives the same contents, whatever else is
// in the step.
struct AttentionSequence {
  int64_t position = 0;
  int64_t rows = 1;
  uint64_t seed = 1;
};

// The arguments of one step in host memory. Pages, plans and outputs hold NaN or nonsense wherever
// no query may look.
class AttentionStep {
 public:
  AttentionStep(const AttentionShape& shape, DType dtype,
                const std::vector<AttentionSequence>& sequences);

  // Where a copy of the bytes lies that the kernel is to see.
  using Place = std::function<std::byte*(const std::vector<std::byte>&)>;
  // `plan`: set, and pointed to where the shape evicts.
  AttentionArgs Args(const Place& place, KeptPlan* plan) const;

  // [T, Hq, D] of `out`, rows without their gaps; GapsIntact: nothing was written between them.
  std::vector<float> Rows(const std::vector<std::byte>& out) const;
  bool GapsIntact(const std::vector<std::byte>& out) const;
  const std::vector<std::byte>& out() const { return out_; }
  std::vector<double> Reference() const;
  // Rows of sequence i.
  int64_t RowBegin(size_t i) const { return row_offsets_[i]; }

 private:
  struct Key {
    int64_t start, end;  // positions: seen by start <= t < end
    std::vector<float> k, v;
  };
  void AddSequence(size_t index, const AttentionSequence& sequence);
  void AddHead(size_t index, const AttentionSequence& sequence, int64_t head, std::mt19937_64& rng);
  // A new key with values where any of the sequence's queries sees it.
  Key NewKey(const AttentionSequence& sequence, int64_t start, int64_t end, std::mt19937_64& rng);
  int64_t RandomEnd(const AttentionSequence& sequence, std::mt19937_64& rng) const;
  void PutInPage(int64_t entry, int64_t place, const Key& key);
  void PutElements(std::vector<std::byte>& to, int64_t at, const std::vector<float>& values) const;
  std::vector<float> RandomRow(int64_t size, float most, std::mt19937_64& rng) const;
  int64_t row_stride(int64_t heads) const { return heads * s_.head_dim + s_.row_gap; }

  const AttentionShape s_;
  const DType dtype_;
  const std::vector<AttentionSequence> sequences_;
  int64_t num_rows_ = 0, ring_tokens_ = 0, ring_entries_ = 0, kept_entries_ = 0, table_stride_ = 0;
  std::vector<int32_t> row_offsets_ = {0}, slots_, tables_, kept_before_;
  std::vector<int64_t> positions_, kept_expiry_, ring_expiry_, chunk_expiry_;
  std::vector<std::byte> q_, k_, v_, out_, pool_;
  std::vector<std::vector<float>> queries_;  // [T] of [Hq, D]
  std::vector<std::vector<Key>> keys_;       // [B, Hkv]
};

}  // namespace winnow::cuda::testing

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_TESTING_H_
