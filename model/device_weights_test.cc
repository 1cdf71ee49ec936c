// Placing weights: what a backend that does not read them in place gets.
#include "model/device_weights.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/testing/forwarding_backend.h"
#include "model/config.h"

namespace winnow {
namespace {

constexpr char kDirectory[] = "tests/golden/lte";

// The CPU's memory as if it were a device's, which keeps matrices in float32.
class FakeDevice : public testing::ForwardingBackend {
 public:
  explicit FakeDevice(Backend* cpu) : ForwardingBackend(cpu) {}

  bool reads_weights_in_place() const override { return false; }
  DType matrix_dtype(DType) const override { return DType::kF32; }
  std::optional<int64_t> available_bytes() const override { return available; }
  absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                            int64_t count) override {
    EXPECT_EQ(to, DType::kF32);
    auto* out = reinterpret_cast<float*>(device);
    for (int64_t i = 0; i < count; ++i) {
      out[i] = from == DType::kF32 ? static_cast<const float*>(host)[i]
                                   : ToFloat(static_cast<const BF16*>(host)[i]);
    }
    return absl::OkStatus();
  }

  std::optional<int64_t> available = int64_t{1} << 30;
};

class DeviceWeightsTest : public ::testing::Test {
 protected:
  DeviceWeightsTest()
      : cpu_(*cpu::CpuBackend::Create({.num_threads = 1})),
        device_(cpu_.get()),
        config_(*LoadModelConfig(std::string(kDirectory) + "/config.json")) {}

  std::unique_ptr<const Weights> Load() const { return *Weights::Load(kDirectory, config_); }

  std::unique_ptr<cpu::CpuBackend> cpu_;
  FakeDevice device_;
  const ModelConfig config_;
};

TEST_F(DeviceWeightsTest, StayWhereTheyAreReadInPlace) {
  auto host = Load();
  const Weights* same = host.get();
  EXPECT_EQ(PlacedBytes(*host, *cpu_), 0);
  const auto placed = PlaceWeights(std::move(host), cpu_.get(), [](int64_t, int64_t) { FAIL(); });
  ASSERT_TRUE(placed.ok());
  EXPECT_EQ(placed->get(), same);
}

TEST_F(DeviceWeightsTest, EverythingIsCopiedAndConverted) {
  const auto host = Load();
  int64_t done = 0, total = 0;
  const auto placed = PlaceWeights(Load(), &device_, [&](int64_t d, int64_t t) {
    EXPECT_GE(d, done);
    done = d;
    total = t;
  });
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(done, total);
  EXPECT_EQ(total, PlacedBytes(*host, device_));
  EXPECT_EQ((*placed)->size_bytes, total);
  EXPECT_EQ((*placed)->num_parameters, host->num_parameters);
  ASSERT_EQ((*placed)->blocks.size(), host->blocks.size());
  for (size_t b = 0; b < host->blocks.size(); ++b) {
    const WeightBlock &from = host->blocks[b], &to = (*placed)->blocks[b];
    ASSERT_EQ(to.count, from.count);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(to.data) % 256, 0u);
    for (int64_t i = 0; i < from.count; ++i) {
      const float value = from.dtype == DType::kBF16
                              ? ToFloat(static_cast<const BF16*>(from.data)[i])
                              : static_cast<const float*>(from.data)[i];
      ASSERT_EQ(static_cast<const float*>(to.data)[i], value) << "block " << b;
    }
  }
}

TEST_F(DeviceWeightsTest, ViewsPointToTheCopies) {
  const auto host = Load();
  const auto placed = PlaceWeights(Load(), &device_, [](int64_t, int64_t) {});
  ASSERT_TRUE(placed.ok()) << placed.status();
  const auto expect_same = [](const WeightMatrix& to, const WeightMatrix& from) {
    EXPECT_EQ(to.dtype, DType::kF32);
    EXPECT_EQ(to.rows, from.rows);
    EXPECT_EQ(to.cols, from.cols);
    EXPECT_EQ(static_cast<const float*>(to.data)[1],
              ToFloat(static_cast<const BF16*>(from.data)[1]));
  };
  expect_same((*placed)->embeddings, host->embeddings);
  expect_same((*placed)->head, host->head);
  EXPECT_EQ((*placed)->final_norm[3], host->final_norm[3]);
  ASSERT_EQ((*placed)->layers.size(), host->layers.size());
  for (size_t i = 0; i < host->layers.size(); ++i) {
    const LayerWeights &to = (*placed)->layers[i], &from = host->layers[i];
    expect_same(to.mlp_down, from.mlp_down);
    ASSERT_EQ(to.mixer.index(), from.mixer.index());
    if (const auto* mixer = std::get_if<AttentionWeights>(&to.mixer)) {
      const auto& other = std::get<AttentionWeights>(from.mixer);
      expect_same(mixer->v, other.v);
      EXPECT_EQ(mixer->router->convs[1].weight[5], other.router->convs[1].weight[5]);
      EXPECT_EQ(mixer->router->proj_bias[0], other.router->proj_bias[0]);
    } else {
      const auto& own = std::get<GatedDeltaWeights>(to.mixer);
      const auto& other = std::get<GatedDeltaWeights>(from.mixer);
      expect_same(own.gate, other.gate);
      EXPECT_EQ(own.k_conv[2], other.k_conv[2]);
    }
  }
}

TEST_F(DeviceWeightsTest, SaysWhatDoesNotFit) {
  device_.available = 1000;
  const auto placed = PlaceWeights(Load(), &device_, [](int64_t, int64_t) {});
  EXPECT_EQ(placed.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(placed.status().message()),
              ::testing::HasSubstr("of which 1000 are left"));
}

}  // namespace
}  // namespace winnow
