// Departures, Attention and WriteKv together on CUDA against the CPU's: ragged steps of sequences
// that are cut at random, shuffled and poisoned pages. What no arithmetic touches (plans, kept
// sets, keys and values in their places) must be equal to the bit.
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/cuda/testing/batches.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::Identical;
using ::winnow::testing::Near;

const std::vector<int64_t> kTotals = {3, 160, 61, 1};
constexpr int64_t kSlots = 4;

struct AttentionShape {
  int64_t kv_heads = 1, group = 1, head_dim = 4, page_tokens = 16;
  int64_t span = 1;         // V; kNeverExpires: full attention
  int64_t buffer_size = 0;  // of learned eviction
  int64_t sink_size = 0;
  int64_t margin = 0;
  bool evicts = false;
};

// One layer's state and what its steps give.
class AttentionRun {
 public:
  AttentionRun(Backend& backend, DType inputs, const AttentionShape& shape)
      : backend_(backend),
        dtype_(backend.activation_dtype()),
        inputs_(inputs),
        s_(shape),
        pages_(backend, PagesShape(shape), kSlots, 1),
        score_ring_(backend, kSlots, shape.evicts ? shape.span * shape.kv_heads : 1),
        kept_count_(backend, kSlots, shape.kv_heads),
        kept_score_(backend, kSlots, shape.kv_heads * shape.buffer_size),
        kept_position_(backend, kSlots, 2 * shape.kv_heads * shape.buffer_size) {
    for (const auto& parts : RandomSteps(kTotals, 70, 2)) Step(parts);
    for (int64_t slot = 1; slot <= kSlots; ++slot) {
      for (const TestField* field : {&score_ring_, &kept_count_, &kept_score_, &kept_position_}) {
        state.push_back(field->Read(slot));
      }
    }
    pages = pages_.Read();
  }

  std::vector<std::vector<float>> outs;              // by step
  std::vector<std::vector<int64_t>> chunk_expiries;  // by step
  std::vector<std::vector<float>> state;
  std::vector<float> pages;

 private:
  static TestPagesShape PagesShape(const AttentionShape& s) {
    const bool full = s.span == kNeverExpires;
    return {.page_tokens = s.page_tokens,
            .head_dim = s.head_dim,
            .num_kv_heads = s.kv_heads,
            .ring_tokens = s.span,
            .ring_capacity = full ? 200 : s.span,
            .kept_capacity = s.buffer_size};
  }

  std::vector<float> Random(int64_t size, float low = -2, float high = 2) {
    return RandomFor(inputs_, size, seed_++, low, high);
  }

  void Step(const std::vector<StepPart>& parts) {
    const TestBatch batch(backend_, parts);
    const int64_t t = batch.view().num_tokens, b = batch.view().num_sequences;
    const int64_t heads = s_.kv_heads, lists = b * heads, dim = s_.head_dim;
    const TestTensor q(backend_, dtype_, {t, heads * s_.group, dim},
                       Random(t * heads * s_.group * dim));
    const TestTensor k(backend_, dtype_, {t, heads, dim}, Random(t * heads * dim));
    const TestTensor v(backend_, dtype_, {t, heads, dim}, Random(t * heads * dim));
    const TestTensor out(backend_, dtype_, {t, heads * s_.group, dim});
    // Multiples of 1/8 around 0: ties and negative scores are common.
    std::vector<float> steps = winnow::testing::ExactFloats(t * heads, seed_++);
    const TestTensor scores(backend_, DType::kF32, {t, heads}, steps);

    const TestArray<int32_t> kept_before(backend_, std::vector<int32_t>(lists, -1));
    const TestArray<int64_t> kept_expiry(backend_,
                                         std::vector<int64_t>(lists * s_.buffer_size, -1));
    const TestArray<int64_t> ring_expiry(backend_,
                                         std::vector<int64_t>(s_.evicts ? lists * s_.span : 1, -1));
    const TestArray<int64_t> chunk_expiry(backend_, std::vector<int64_t>(t * heads, -1));
    const TestArray<int64_t> source(backend_, std::vector<int64_t>(lists * s_.buffer_size, -1));
    const KeptPlan plan = {kept_before.data(), kept_expiry.data(), ring_expiry.data(),
                           chunk_expiry.data(), source.data()};
    if (s_.evicts) Depart(batch, scores, plan);
    const KeptPlan* used = s_.evicts ? &plan : nullptr;
    EXPECT_TRUE(backend_
                    .Attention({.batch = batch.view(),
                                .q = q,
                                .k = k,
                                .v = v,
                                .pages = pages_.view(),
                                .span = s_.span,
                                .plan = used,
                                .buffer_size = s_.buffer_size,
                                .out = out})
                    .ok());
    EXPECT_TRUE(backend_
                    .WriteKv({.batch = batch.view(),
                              .k = k,
                              .v = v,
                              .pages = pages_.view(),
                              .plan = used,
                              .buffer_size = s_.buffer_size})
                    .ok());
    outs.push_back(out.Read());
    chunk_expiries.push_back(chunk_expiry.Read());
  }

  void Depart(const TestBatch& batch, const TestTensor& scores, const KeptPlan& plan) {
    EXPECT_TRUE(backend_
                    .Departures({.batch = batch.view(),
                                 .scores = scores,
                                 .margin = s_.margin,
                                 .span = s_.span,
                                 .buffer_size = s_.buffer_size,
                                 .sink_size = s_.sink_size,
                                 .num_kv_heads = s_.kv_heads,
                                 .score_ring = score_ring_.view(),
                                 .kept_count = kept_count_.view(),
                                 .kept_score = kept_score_.view(),
                                 .kept_position = kept_position_.view(),
                                 .plan = plan})
                    .ok());
  }

  Backend& backend_;
  const DType dtype_, inputs_;
  const AttentionShape s_;
  TestPages pages_;
  TestField score_ring_, kept_count_, kept_score_, kept_position_;
  uint64_t seed_ = 10;
};

class AttentionOps : public ::testing::TestWithParam<DType> {
 protected:
  void Compare(const AttentionShape& shape) const {
    const AttentionRun expected(Cpu(), GetParam(), shape);
    const AttentionRun actual(CudaFor(GetParam()), GetParam(), shape);
    for (size_t step = 0; step < expected.outs.size(); ++step) {
      EXPECT_TRUE(Near(actual.outs[step], expected.outs[step],
                       {.relative = GetParam() == DType::kBF16 ? 0x1p-8 : 1e-5, .absolute = 2e-5}))
          << "step " << step;
      EXPECT_EQ(actual.chunk_expiries[step], expected.chunk_expiries[step]) << "step " << step;
    }
    for (size_t i = 0; i < expected.state.size(); ++i) {
      EXPECT_TRUE(Identical(actual.state[i], expected.state[i])) << "field " << i;
    }
    // By bits: what was never written is poison in both.
    ASSERT_EQ(actual.pages.size(), expected.pages.size());
    EXPECT_EQ(std::memcmp(actual.pages.data(), expected.pages.data(),
                          expected.pages.size() * sizeof(float)),
              0);
  }
};

INSTANTIATE_TEST_SUITE_P(Compute, AttentionOps, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return DTypeName(info.param); });

TEST_P(AttentionOps, Full) {
  Compare({.kv_heads = 2, .group = 3, .head_dim = 20, .page_tokens = 7, .span = kNeverExpires});
  Compare({.kv_heads = 1, .group = 1, .head_dim = 64, .span = kNeverExpires});
  Compare({.kv_heads = 1, .group = 11, .head_dim = 8, .span = kNeverExpires});
}

TEST_P(AttentionOps, SlidingWindow) {
  Compare({.kv_heads = 2, .group = 4, .head_dim = 64, .span = 24});
  Compare({.kv_heads = 1, .group = 2, .head_dim = 96, .page_tokens = 5, .span = 1});
  Compare({.kv_heads = 3, .group = 1, .head_dim = 130, .page_tokens = 1, .span = 50});
}

TEST_P(AttentionOps, LearnedEviction) {
  Compare({.kv_heads = 2,
           .group = 4,
           .head_dim = 64,
           .span = 25,
           .buffer_size = 32,
           .sink_size = 2,
           .margin = 6,
           .evicts = true});
  Compare({.kv_heads = 3,
           .group = 1,
           .head_dim = 18,
           .page_tokens = 3,
           .span = 8,
           .buffer_size = 5,
           .sink_size = 0,
           .margin = 7,
           .evicts = true});
  Compare({.kv_heads = 1,
           .group = 2,
           .head_dim = 32,
           .page_tokens = 16,
           .span = 100,
           .buffer_size = 1,
           .sink_size = 1,
           .margin = 0,
           .evicts = true});
  Compare({.kv_heads = 2, .group = 2, .head_dim = 16, .span = 12, .margin = 3, .evicts = true});
}

}  // namespace
}  // namespace winnow::cuda
