#include "server/experiments.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

// A Gated DeltaNet layer, then two of attention.
ModelConfig Config(bool evicts) {
  AttentionConfig attention = {.num_heads = 2, .num_kv_heads = 2, .head_dim = 4, .window_size = 8};
  if (evicts) {
    attention.eviction = EvictionConfig();
    attention.eviction->buffer_size = 16;
    attention.eviction->sink_size = 4;
  }
  ModelConfig config;
  config.layers = {{GatedDeltaConfig()}, {attention}, {attention}};
  return config;
}

const EvictionConfig& Eviction(const ModelConfig& config, size_t layer) {
  return *std::get<AttentionConfig>(config.layers[layer].mixer).eviction;
}

TEST(ExperimentsTest, WithoutFlagsNothingChanges) {
  ModelConfig config = Config(true);
  EXPECT_TRUE(ApplyExperiments(Options(), &config).ok());
  EXPECT_EQ(Eviction(config, 1).buffer_size, 16);
  EXPECT_EQ(Eviction(config, 1).routing_method, RoutingMethod::kSigmoid);
  ModelConfig without = Config(false);
  EXPECT_TRUE(ApplyExperiments(Options(), &without).ok());
}

TEST(ExperimentsTest, EveryLayerGetsTheBuffer) {
  ModelConfig config = Config(true);
  Options options;
  options.experiment_buffer_size = 0;
  EXPECT_TRUE(ApplyExperiments(options, &config).ok());
  for (const size_t layer : {1, 2}) {
    EXPECT_EQ(Eviction(config, layer).buffer_size, 0);
    EXPECT_EQ(Eviction(config, layer).sink_size, 4);
    EXPECT_EQ(Eviction(config, layer).routing_method, RoutingMethod::kSigmoid);
  }
}

TEST(ExperimentsTest, EveryLayerGetsTheRetentionAndDrawsItsOwnSample) {
  ModelConfig config = Config(true);
  Options options;
  options.experiment_retention = "recency";
  EXPECT_TRUE(ApplyExperiments(options, &config).ok());
  EXPECT_EQ(Eviction(config, 1).routing_method, RoutingMethod::kRecency);
  EXPECT_EQ(Eviction(config, 2).routing_method, RoutingMethod::kRecency);
  EXPECT_EQ(Eviction(config, 2).buffer_size, 16);

  options.experiment_retention = "random";
  ModelConfig random = Config(true), other = Config(true);
  EXPECT_TRUE(ApplyExperiments(options, &random).ok());
  options.experiment_seed = 2;
  EXPECT_TRUE(ApplyExperiments(options, &other).ok());
  EXPECT_EQ(Eviction(random, 1).routing_method, RoutingMethod::kRandom);
  EXPECT_NE(Eviction(random, 1).random_seed, Eviction(random, 2).random_seed);
  EXPECT_NE(Eviction(random, 1).random_seed, Eviction(other, 1).random_seed);
}

TEST(ExperimentsTest, AModelThatKeepsNothingIsRefusedByFlag) {
  ModelConfig config = Config(false);
  Options options;
  options.experiment_buffer_size = 8;
  EXPECT_THAT(std::string(ApplyExperiments(options, &config).message()),
              HasSubstr("--experiment_buffer_size=8: the model has no learned eviction"));
  options.experiment_buffer_size.reset();
  options.experiment_retention = "random";
  EXPECT_THAT(std::string(ApplyExperiments(options, &config).message()),
              HasSubstr("--experiment_retention=random: the model has no learned eviction"));
}

}  // namespace
}  // namespace winnow
