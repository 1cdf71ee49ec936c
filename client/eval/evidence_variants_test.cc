#include "client/eval/evidence_variants.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kLte[] = R"({"attn": {"attn_type": "lte", "buffer_size": 64}})";
constexpr char kWindow[] = R"({"attn": {"window_size": 64}})";

class EvidenceVariantsTest : public ::testing::Test {
 protected:
  EvidenceVariantsTest()
      : root_(fs::path(testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }

  Checkpoint Write(const std::string& name, const std::string& config) {
    fs::create_directories(root_ / name);
    std::ofstream(root_ / name / "config.json") << config;
    return {name, (root_ / name).string()};
  }

  const fs::path root_;
};

TEST_F(EvidenceVariantsTest, LteIsFirstAndFoldersWithoutConfigAreNone) {
  for (const char* name : {"zeta", "attn", "gdn", "lte", "alpha", "swa"}) Write(name, "{}");
  fs::create_directories(root_ / "notes");
  const auto found = FindCheckpoints(root_.string());
  ASSERT_TRUE(found.ok()) << found.status();
  std::vector<std::string> names;
  for (const Checkpoint& checkpoint : *found) names.push_back(checkpoint.name);
  EXPECT_THAT(names, ElementsAre("lte", "gdn", "swa", "attn", "alpha", "zeta"));
  EXPECT_EQ((*found)[0].directory, (root_ / "lte").string());
}

TEST_F(EvidenceVariantsTest, NoCheckpointsAreAnError) {
  EXPECT_THAT(std::string(FindCheckpoints(root_.string()).status().message()),
              HasSubstr("no folder in it has a config.json"));
  EXPECT_THAT(std::string(FindCheckpoints("/no/such").status().message()),
              HasSubstr("/no/such: No such file"));
}

TEST_F(EvidenceVariantsTest, LearnedEvictionIsAblated) {
  const auto variants = VariantsOf({Write("lte", kLte), Write("swa", kWindow), Write("gdn", "{}")});
  ASSERT_TRUE(variants.ok()) << variants.status();
  std::vector<std::string> names, flags;
  for (const ServedVariant& variant : *variants) {
    names.push_back(variant.name);
    EXPECT_EQ(variant.ablation, !variant.flags.empty());
    flags.insert(flags.end(), variant.flags.begin(), variant.flags.end());
  }
  EXPECT_THAT(names, ElementsAre("lte", "swa", "gdn", "lte-buffer8", "lte-buffer16", "lte-buffer32",
                                 "lte-buffer128", "lte-window", "lte-recency", "lte-random"));
  EXPECT_THAT(flags, ElementsAre("--experiment_buffer_size=8", "--experiment_buffer_size=16",
                                 "--experiment_buffer_size=32", "--experiment_buffer_size=128",
                                 "--experiment_buffer_size=0", "--experiment_retention=recency",
                                 "--experiment_retention=random"));
}

TEST_F(EvidenceVariantsTest, AWrongConfigIsNamed) {
  for (const char* config : {"[", "[]", R"({"attn": {"attn_type": "lte"}})"}) {
    const auto variants = VariantsOf({Write("lte", config)});
    EXPECT_THAT(std::string(variants.status().message()), HasSubstr("lte/config.json: ")) << config;
  }
  EXPECT_THAT(std::string(VariantsOf({{"x", "/no/such"}}).status().message()),
              HasSubstr("/no/such/config.json"));
}

}  // namespace
}  // namespace winnow::eval
