// Evidence of the demo model: servers started one after the other, asked, reported, and not asked
// again.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/eval/cell_plan.h"
#include "client/eval/evidence_run.h"
#include "client/eval/evidence_variants.h"
#include "client/exit_codes.h"
#include "client/load/stopper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/programs.h"

namespace winnow::eval {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string Contents(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Ended RunProgram(const std::string& flags) {
  return RunCommand(absl::StrCat("client/eval/winnow-evidence --server=server/winnow-server ",
                                 flags, " </dev/null 2>&1"));
}

class EvidenceTest : public ::testing::Test {
 protected:
  EvidenceTest() {
    settings_.server_binary = "server/winnow-server";
    settings_.server_flags = {"--threads=2"};
    settings_.directory = (fs::path(testing::TempDir()) / "evidence").string();
    settings_.quiet = true;
    fs::remove_all(settings_.directory);
    const auto variants = VariantsOf({{"lte", "deploy/demo-model"}});
    EXPECT_TRUE(variants.ok()) << variants.status();
    for (const ServedVariant& variant : *variants) {
      if (variant.name == "lte" || variant.name == "lte-window") variants_.push_back(variant);
    }
    const CellLists single = {.tasks = {Task::kSingle}, .lengths = {600}, .depths = {0, 40}};
    CellLists whole = single;
    whole.tasks.push_back(Task::kMultiValue);
    whole.many_lengths = {400};
    plan_ = {PlanCells(whole, 4), PlanCells(single, 4)};
  }

  EvidenceSettings settings_;
  std::vector<ServedVariant> variants_;
  EvidencePlan plan_;
  load::Stopper stopper_;
};

TEST_F(EvidenceTest, EveryVariantIsServedAskedAndReported) {
  const auto result = RunEvidence(settings_, plan_, variants_, &stopper_);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->variants, SizeIs(2));
  const VariantResult &lte = result->variants[0], &window = result->variants[1];
  EXPECT_EQ(lte.info.kept_tokens_per_head(), 128u);
  EXPECT_EQ(window.info.kept_tokens_per_head(), 0u);
  for (const VariantResult& variant : result->variants) {
    EXPECT_TRUE(variant.errors.empty());
    ASSERT_TRUE(variant.times.has_value());
    EXPECT_GT(variant.times->prompt_us, 0);
    EXPECT_GT(variant.times->output_us, 0);
  }
  ASSERT_THAT(result->cells, SizeIs(3));
  EXPECT_EQ(lte.cells[2].texts, 4);
  EXPECT_EQ(window.cells[2].texts, 0) << "not asked";
  const int64_t lte_right = lte.cells[0].right + lte.cells[1].right;
  EXPECT_EQ(lte_right, 4) << "far within training";
  EXPECT_GT(StateBytes(lte.info, 600), StateBytes(window.info, 600));
  const std::string table = Contents(fs::path(settings_.directory) / "table.md");
  EXPECT_THAT(table, AllOf(HasSubstr("- lte-window: `winnow-server --model=deploy/demo-model "
                                     "--experiment_buffer_size=0 --threads=2`"),
                           HasSubstr("| lte | 100.0% ("), HasSubstr("lte less the others")));
  EXPECT_THAT(Contents(fs::path(settings_.directory) / "report.html"), HasSubstr("</html>"));
}

TEST_F(EvidenceTest, WhatWasMeasuredBeforeIsNotAskedAgain) {
  variants_.resize(1);
  plan_.whole = PlanCells({.tasks = {Task::kMultiValue}, .many_lengths = {300}}, 2);
  const auto run = [&] {
    const auto result = RunEvidence(settings_, plan_, variants_, &stopper_);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() && result->variants.size() == 1 ? result->variants[0].address : "";
  };
  const std::string first = run();
  EXPECT_EQ(run(), first) << "the port of the server that was asked";
  settings_.seed = 2;
  const std::string second = run();
  EXPECT_NE(second, first);
  settings_.fresh = true;
  const std::string third = run();
  EXPECT_NE(third, second);
  settings_.fresh = false;
  plan_.whole[0].texts = 3;
  EXPECT_NE(run(), third);
}

TEST_F(EvidenceTest, AnUnfinishedFileIsMeasuredAgain) {
  variants_.resize(1);
  plan_.whole = PlanCells({.tasks = {Task::kMultiValue}, .many_lengths = {300}}, 2);
  ASSERT_TRUE(RunEvidence(settings_, plan_, variants_, &stopper_).ok());
  const fs::path file = fs::path(settings_.directory) / "variants" / "lte.json";
  const std::string whole = Contents(file);
  std::ofstream(file) << whole.substr(0, whole.size() / 2);
  const auto result = RunEvidence(settings_, plan_, variants_, &stopper_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->variants[0].cells[0].texts, 2);
  EXPECT_EQ(Contents(file).back(), '\n');
}

TEST_F(EvidenceTest, AStoppedRunReportsNothingUnfinished) {
  stopper_.Stop();
  const auto result = RunEvidence(settings_, plan_, variants_, &stopper_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->variants.empty());
  EXPECT_FALSE(fs::exists(fs::path(settings_.directory) / "table.md"));
}

TEST_F(EvidenceTest, AServerThatDoesNotStartIsQuoted) {
  settings_.server_flags = {"--state_memory=1KiB"};
  const auto result = RunEvidence(settings_, plan_, variants_, &stopper_);
  EXPECT_THAT(std::string(result.status().message()),
              AllOf(HasSubstr("lte: "), HasSubstr("state memory of 1024 bytes")));
}

TEST(EvidenceProgramTest, SaysWhatIsWrong) {
  Ended run = RunProgram("--quick --full --checkpoints=deploy");
  EXPECT_EQ(run.exit_code, kExitUsage);
  run = RunProgram("--checkpoints=/no/such");
  EXPECT_EQ(run.exit_code, kExitRefused);
  EXPECT_THAT(run.output, AllOf(HasSubstr("/no/such: No such file"), Not(HasSubstr("\r"))));
  run = RunProgram(absl::StrCat("--checkpoint=demo=deploy/demo-model --out=/proc/none"));
  EXPECT_EQ(run.exit_code, kExitRefused);
  EXPECT_THAT(run.output, HasSubstr("/proc/none/quick"));
}

}  // namespace
}  // namespace winnow::eval
