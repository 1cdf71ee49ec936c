#include "client/eval/eval_reports.h"

#include <cstring>
#include <string>

#include "client/eval/eval_plots.h"
#include "client/eval/eval_table.h"
#include "client/eval/heat_map.h"
#include "client/eval/testing/made_up_result.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(EvalTableTest, DepthsAreCountedTogether) {
  const auto tables = ResultTables(MadeUpResult(), Figure::kExact);
  ASSERT_THAT(tables, SizeIs(3));
  EXPECT_EQ(tables[0].title, "Single facts, by tokens of the prompt");
  EXPECT_THAT(
      tables[0].rows,
      ElementsAre(
          ElementsAre("variant", "512", "4096"),
          ElementsAre("lte", "100.0% (83.9-100.0) of 20", "100.0% (72.2-100.0) of 10"),
          ElementsAre("window & co", "50.0% (29.9-70.1) of 20", "50.0% (23.7-76.3) of 10")));
  EXPECT_EQ(tables[1].title, "One of many facts in 2048 tokens, by number of facts");
  EXPECT_THAT(tables[1].rows[0], ElementsAre("variant", "32", "8"));
  EXPECT_EQ(tables[2].title, "Other tasks");
  EXPECT_THAT(tables[2].rows[0], ElementsAre("variant", "multi_value in 2048 tokens"));
}

TEST(EvalTableTest, FailuresStandBesideWhatWasAnswered) {
  EvalResult result = MadeUpResult();
  result.variants[0].cells[2] = {.failed = 10};
  result.variants[0].cells[3].failed = 2;
  result.variants[1].cells[3] = {};
  result.variants[1].cells[5] = {};
  const auto tables = ResultTables(result, Figure::kExact);
  EXPECT_EQ(tables[0].rows[1][2], "10 failed");
  EXPECT_EQ(tables[1].rows[1][1], "100.0% (72.2-100.0) of 10, 2 failed");
  EXPECT_EQ(tables[1].rows[2][1], "-") << "not asked";
  EXPECT_THAT(tables[2].rows, SizeIs(2)) << "without the variant that was asked nothing of it";
  EXPECT_THAT(ResultTables(result, Figure::kGap), SizeIs(2));
}

TEST(EvalTableTest, GapsAreTheFirstVariantLessTheOthers) {
  EvalResult result = MadeUpResult();
  const auto tables = ResultTables(result, Figure::kGap);
  EXPECT_THAT(tables[0].rows, ElementsAre(ElementsAre("variant", "512", "4096"),
                                          ElementsAre("window & co", "+50.0 (+24.3 to +70.1)",
                                                      "+50.0 (+11.7 to +76.3)")));
  result.variants.pop_back();
  EXPECT_THAT(ResultTables(result, Figure::kGap), IsEmpty());
}

TEST(EvalTableTest, VariantsHaveStateAndTimes) {
  EvalResult result = MadeUpResult();
  result.variants[0].info.set_num_parameters(5'200'000);
  result.variants[0].times = {.prompt_tokens = 4096, .prompt_us = 41.5, .output_us = 390};
  const Table table = VariantTable(result);
  EXPECT_THAT(table.rows[0],
              ElementsAre("variant", "params", "layers", "window", "kept", "bytes at 512",
                          "bytes at 4096", "us/prompt token", "us/output token", "tokens/s"));
  EXPECT_THAT(table.rows[1], ElementsAre("lte", "5.2M", "2 gdn, 1 lte", "-", "-", "2048", "2048",
                                         "41.5", "390.0", "1500"));
  EXPECT_EQ(table.rows[2][7], "-");
}

TEST(EvalReportsTest, TextSaysWhatFailed) {
  EvalResult result = MadeUpResult();
  EXPECT_THAT(ResultToText(result), AllOf(HasSubstr("window & co"), HasSubstr("2 gdn, 1 lte"),
                                          Not(HasSubstr("Failed requests"))));
  result.variants[0].errors["UNAVAILABLE: gone"] = 10;
  EXPECT_THAT(ResultToText(result),
              AllOf(HasSubstr("Failed requests"), HasSubstr("UNAVAILABLE: gone")));
}

TEST(EvalReportsTest, MarkdownHasAllTables) {
  EvalResult result = MadeUpResult();
  result.variants[1].name = "a|b";
  result.variants[1].errors["INTERNAL: <x>"] = 1;
  const std::string text = ResultToMarkdown(result);
  for (const char* part : {"2026-11-25T00:00:00Z, seed 1", "\n### Exact answers\n",
                           "\n### Right digits\n", "\n### lte less the others, percentage points\n",
                           "\n| variant | 512 | 4096 |\n|---|---:|---:|\n",
                           "\n| a\\|b | 50.0% (29.9-70.1) of 20 |", "INTERNAL: &lt;x>"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(EvalReportsTest, HeatMapIsDepthByLength) {
  const EvalResult result = MadeUpResult();
  const HeatMap map = SingleFacts(result, result.variants[1]);
  EXPECT_THAT(map.columns, ElementsAre("512", "4096"));
  EXPECT_THAT(map.rows, ElementsAre("0%", "100%"));
  EXPECT_EQ(map.cells[1][0]->value, 0.5);
  EXPECT_FALSE(map.cells[1][1].has_value()) << "not measured";
  const std::string svg = RenderHeatMap(map);
  EXPECT_THAT(svg, HasSubstr(">50%<"));
  EXPECT_THAT(svg, HasSubstr("5 of 10 right; 95% interval 23.7% to 76.3%"));
  EXPECT_THAT(svg, HasSubstr("fill=\"none\""));
}

TEST(EvalReportsTest, HeatMapLeavesOutWhatWasNotAsked) {
  EvalResult result = MadeUpResult();
  result.variants[1].cells[2] = {};
  EXPECT_THAT(SingleFacts(result, result.variants[1]).columns, ElementsAre("512"));
  for (CellResult& cell : result.variants[1].cells) cell = {};
  EXPECT_THAT(SingleFacts(result, result.variants[1]).rows, IsEmpty());
}

TEST(EvalReportsTest, CurvesAreInOrderOfFacts) {
  const std::vector<load::Plot> plots = OverFacts(MadeUpResult());
  ASSERT_THAT(plots, SizeIs(1));
  ASSERT_THAT(plots[0].series, SizeIs(2));
  ASSERT_THAT(plots[0].series[1].points, SizeIs(2));
  EXPECT_EQ(plots[0].series[1].points[0].x, 8);
  EXPECT_EQ(plots[0].series[1].points[1].x, 32);
  EXPECT_EQ(plots[0].series[1].points[1].y, 50);
}

TEST(EvalReportsTest, HtmlRefersToNothingElse) {
  EvalResult result = MadeUpResult();
  result.variants[0].errors["<b>"] = 1;
  std::string html = ResultToHtml(result);
  for (const char* part :
       {"&lt;b&gt;", "window &amp; co", "Single facts: lte", "One of many facts, 2048 tokens",
        "Exact answers", "Right digits", "lte less the others"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  for (const char* ns : {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}) {
    for (size_t at; (at = html.find(ns)) != std::string::npos;) html.erase(at, std::strlen(ns));
  }
  for (const char* reference : {"http", "//", "src=", "href=", "url(", "@import", "<script"}) {
    EXPECT_THAT(html, Not(HasSubstr(reference)));
  }
}

TEST(EvalReportsTest, WithoutSuchTasksThereAreNoPictures) {
  EvalResult result = MadeUpResult();
  result.cells = {{.task = Task::kMultiValue, .tokens = 2048, .facts = 4}};
  for (VariantResult& variant : result.variants) variant.cells.resize(1);
  EXPECT_THAT(ResultToHtml(result), Not(HasSubstr("<svg")));
}

}  // namespace
}  // namespace winnow::eval
