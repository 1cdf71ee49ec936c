#include "model/state_spec.h"

#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

GatedDeltaConfig GatedDelta() {
  return {.num_heads = 2, .num_v_heads = 4, .head_dim = 8, .value_dim = 16, .conv_size = 4};
}

AttentionConfig Attention(std::optional<int64_t> window, std::optional<int64_t> buffer) {
  AttentionConfig c{.num_heads = 4, .num_kv_heads = 2, .head_dim = 16, .window_size = window};
  if (buffer.has_value()) {
    c.eviction = EvictionConfig{
        .conv_size = {3, 2}, .conv_dilation = {2, 5}, .buffer_size = *buffer, .sink_size = 1};
  }
  return c;
}

StateSpec Spec(std::vector<LayerConfig> layers, StateSpecOptions options = {.page_tokens = 4}) {
  ModelConfig config;
  config.layers = std::move(layers);
  auto spec = StateSpec::Create(config, options);
  WINNOW_CHECK(spec.ok()) << spec.status();
  return *std::move(spec);
}

TEST(StateSpecTest, FieldsOfEachKindHaveTheDocumentedShapes) {
  const StateSpec spec = Spec({{GatedDelta()}, {Attention(10, 6)}});
  EXPECT_THAT(spec.field(0, "state").shape, testing::ElementsAre(4, 8, 16));
  EXPECT_THAT(spec.field(0, "q_conv").shape, testing::ElementsAre(3, 16));
  EXPECT_THAT(spec.field(0, "v_conv").shape, testing::ElementsAre(3, 64));
  EXPECT_THAT(spec.field(1, "router_history_0").shape, testing::ElementsAre(4, 2, 32));
  EXPECT_THAT(spec.field(1, "router_history_1").shape, testing::ElementsAre(5, 2, 16));
  EXPECT_THAT(spec.field(1, "score_ring").shape, testing::ElementsAre(11, 2));
  EXPECT_THAT(spec.field(1, "kept_position").shape, testing::ElementsAre(2, 6));
  EXPECT_EQ(spec.num_kept_lists(), 2);
  EXPECT_FALSE(spec.grows());
  EXPECT_EQ(spec.page_bytes(), 2 * 4 * 16 * 4);
  EXPECT_EQ(spec.kv_bytes_per_token(), 2 * 2 * 16 * 4);
}

TEST(StateSpecTest, FieldsDoNotOverlapAndAreAligned) {
  const StateSpec spec = Spec({{GatedDelta()}, {Attention(10, 6)}, {Attention(7, std::nullopt)}});
  int64_t end = 0;
  for (const StateField& field : spec.fields()) {
    EXPECT_EQ(field.offset % 64, 0) << field.name;
    EXPECT_GE(field.offset, end) << field.name;
    end = field.offset + field.size_bytes();
  }
  EXPECT_LE(end, spec.slot_bytes());
  EXPECT_EQ(spec.slot_bytes() % 256, 0);
}

TEST(StateSpecTest, StateRingsStandInTheSlotOfEveryRecurrentLayer) {
  const StateSpec spec = Spec({{Attention(10, 6)}, {GatedDelta()}, {GatedDelta()}},
                              {.page_dtype = DType::kBF16, .state_ring = 5});
  EXPECT_EQ(spec.state_ring(), 5);
  int counts = 0;
  for (const StateField& field : spec.fields()) counts += field.name == "ring_count";
  EXPECT_EQ(counts, 1);
  EXPECT_EQ(spec.field(1, "ring_count").size_bytes(), 4);
  for (const int layer : {1, 2}) {
    EXPECT_EQ(spec.field(layer, "state").dtype, DType::kF32);
    EXPECT_THAT(spec.field(layer, "ring_values").shape, testing::ElementsAre(4, 5, 16));
    EXPECT_THAT(spec.field(layer, "ring_decays").shape, testing::ElementsAre(4, 5));
    EXPECT_THAT(spec.field(layer, "ring_keys").shape, testing::ElementsAre(2, 5, 8));
    EXPECT_EQ(spec.field(layer, "ring_values").dtype, DType::kF32);
    EXPECT_EQ(spec.field(layer, "ring_keys").dtype, DType::kBF16);
  }
  EXPECT_EQ(Spec({{Attention(10, 6)}}, {.state_ring = 5}).state_ring(), 0);
  EXPECT_EQ(Spec({{GatedDelta()}}, {.state_ring = 1}).slot_bytes(),
            Spec({{GatedDelta()}}).slot_bytes());
}

TEST(StateSpecTest, BF16StatesTakeHalfTheBytes) {
  const StateSpec spec = Spec({{GatedDelta()}}, {.state_dtype = DType::kBF16});
  EXPECT_EQ(spec.field(0, "state").dtype, DType::kBF16);
  EXPECT_EQ(spec.field(0, "state").size_bytes(), 4 * 8 * 16 * 2);
  EXPECT_EQ(spec.field(0, "q_conv").dtype, DType::kF32);
}

TEST(StateSpecTest, ListsHaveDisjointTableEntries) {
  const StateSpec spec = Spec({{Attention(10, 6)}, {Attention(7, std::nullopt)}});
  std::set<int64_t> entries;
  for (const PageList& list : spec.lists()) {
    for (int64_t i = 0; i < list.max_pages; ++i) {
      EXPECT_TRUE(entries.insert(list.first_entry + i).second);
    }
  }
  EXPECT_EQ(static_cast<int64_t>(entries.size()), spec.table_entries());
}

// Whatever a head keeps within the rule, a step's pages hold it, and the sum never exceeds the
// bound taken at admission.
TEST(StateSpecTest, RandomWalksStayWithinTheUpperBound) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    StateSpecOptions options{.page_tokens = 1 + static_cast<int64_t>(random() % 9),
                             .max_sequence_tokens = 400};
    const StateSpec spec = Spec({{Attention(1 + random() % 40, random() % 30)},
                                 {Attention(1 + random() % 40, std::nullopt)},
                                 {Attention(std::nullopt, std::nullopt)}},
                                options);
    const int64_t total = 1 + random() % 400;
    std::vector<int64_t> kept(spec.num_kept_lists(), 0);
    for (int64_t before = 0; before < total;) {
      const int64_t after = std::min<int64_t>(total, before + 1 + random() % 50);
      int64_t pages = 0;
      for (const PageList& list : spec.lists()) {
        int64_t* count = list.kind == PageListKind::kKept ? &kept[list.kept_index] : nullptr;
        const int64_t provided = spec.PagesFor(list, before, after, count != nullptr ? *count : 0);
        EXPECT_LE(provided, list.max_pages);
        pages += provided;
        if (count == nullptr) continue;
        int64_t departures = 0;
        for (int64_t t = before; t < after; ++t) departures += t >= list.span;
        *count += departures == 0 ? 0 : static_cast<int64_t>(random() % (departures + 1));
        *count = std::min(*count, list.capacity);
        EXPECT_LE(*count, provided * spec.page_tokens());
      }
      EXPECT_LE(pages, spec.MaxPages(total));
      before = after;
    }
  }
}

TEST(StateSpecTest, BoundedKindsHaveOneBoundForEveryLength) {
  const StateSpec spec = Spec({{Attention(10, 6)}, {Attention(7, std::nullopt)}});
  // Per head: ring of 11 and kept 6; ring of 7.
  EXPECT_EQ(spec.MaxPages(), 2 * (3 + 2) + 2 * 2);
  EXPECT_EQ(spec.MaxPages(1'000'000), spec.MaxPages());
  EXPECT_EQ(spec.MaxPages(1), 4);
}

TEST(StateSpecTest, PureGatedDeltaNeedsNoPages) {
  const StateSpec spec = Spec({{GatedDelta()}});
  EXPECT_EQ(spec.MaxPages(), 0);
  EXPECT_EQ(spec.MaxPages(1 << 30), 0);
  EXPECT_EQ(spec.page_bytes(), 0);
}

TEST(StateSpecTest, FingerprintTellsLayoutsApart) {
  std::set<uint64_t> seen;
  for (const int64_t page_tokens : {4, 8}) {
    for (const int64_t window : {10, 11}) {
      for (const int64_t buffer : {6, 7}) {
        const StateSpecOptions options{.page_tokens = page_tokens};
        const uint64_t print = Spec({{Attention(window, buffer)}}, options).fingerprint();
        EXPECT_EQ(print, Spec({{Attention(window, buffer)}}, options).fingerprint());
        seen.insert(print);
      }
    }
  }
  EXPECT_EQ(seen.size(), 8u);
}

TEST(StateSpecTest, FingerprintTellsRingsAndStateTypesApart) {
  std::set<uint64_t> seen;
  for (const int64_t ring : {0, 2, 3, 32}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      seen.insert(Spec({{GatedDelta()}}, {.state_dtype = dtype, .state_ring = ring}).fingerprint());
    }
  }
  EXPECT_EQ(seen.size(), 8u);
  EXPECT_EQ(Spec({{GatedDelta()}}, {.state_ring = 1}).fingerprint(),
            Spec({{GatedDelta()}}, {.state_ring = 0}).fingerprint());
}

TEST(StateSpecTest, RefusesWhatItCannotLayOut) {
  ModelConfig config;
  config.layers = {{Attention(std::nullopt, std::nullopt)}};
  EXPECT_THAT(StateSpec::Create(config, {}).status().ToString(),
              testing::HasSubstr("max_sequence_tokens"));
  EXPECT_THAT(StateSpec::Create(config, {.max_sequence_tokens = 0}).status().ToString(),
              testing::HasSubstr("max_sequence_tokens is 0"));
  for (const int64_t page_tokens : {-1, 0, 4097}) {
    EXPECT_THAT(StateSpec::Create(config, {.page_tokens = page_tokens}).status().ToString(),
                testing::HasSubstr("must be in 1..4096"));
  }
  for (const int64_t ring : {-1, 33}) {
    EXPECT_THAT(StateSpec::Create(config, {.state_ring = ring}).status().ToString(),
                testing::HasSubstr("state_ring is " + std::to_string(ring) + ", must be in 0..32"));
  }
  EXPECT_THAT(StateSpec::Create(config, {.state_dtype = DType::kF16}).status().ToString(),
              testing::HasSubstr("state_dtype is F16, must be F32 or BF16"));
}

}  // namespace
}  // namespace winnow
