// The reports of a made-up run: keys, tables, and HTML that is well-formed and needs nothing else.
#include <cstring>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/load/load_plots.h"
#include "client/load/report_html.h"
#include "client/load/report_json.h"
#include "client/load/report_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kMs = 1'000'000;

CallRecord Record(int64_t at_ms, absl::StatusCode code) {
  CallRecord record;
  record.scheduled_ns = at_ms * kMs;
  record.sent_ns = record.scheduled_ns + kMs;
  record.end_ns = record.scheduled_ns + 100 * kMs;
  record.code = code;
  if (code != absl::StatusCode::kOk) {
    record.message = "<no> & \"room\"";
    return record;
  }
  record.first_token_ns = record.scheduled_ns + 40 * kMs;
  record.gaps_us = {20'000, 30'000};
  record.prompt_tokens = 5;
  record.output_tokens = 3;
  record.messages = 5;
  record.finished = true;
  return record;
}

MeasuredStage Stage(const LoadLevel& level, int64_t start_ms, const Slos& slos) {
  MeasuredStage stage = {.level = level, .start_ns = start_ms * kMs};
  stage.records.push_back(Record(start_ms, absl::StatusCode::kOk));
  stage.records.back().warmup = true;
  for (int i = 1; i <= 5; ++i) {
    stage.records.push_back(Record(start_ms + 10 * i, absl::StatusCode::kOk));
  }
  stage.records.push_back(Record(start_ms + 70, absl::StatusCode::kResourceExhausted));
  stage.summary = SummarizeStage(ToString(level), stage.records, {}, slos, 0.001);
  return stage;
}

class ReportsTest : public ::testing::Test {
 protected:
  ReportsTest() {
    options_.levels = {RateRange{1, 1}, RateRange{1, 9}};
    options_.slos.ttft_ms = 50;
    run_.model = "demo <model>";
    run_.backend = "cpu";
    run_.date = "2026-11-25T00:00:00Z";
    run_.stages = {Stage(options_.levels[0], 1000, options_.slos),
                   Stage(options_.levels[1], 3000, options_.slos)};
  }
  LoadOptions options_;
  MeasuredRun run_;
};

TEST_F(ReportsTest, JsonHasTheKeysThatScriptsRead) {
  run_.stages.pop_back();
  const nlohmann::json json = RunToJson(options_, run_);
  std::vector<std::string> keys = {"duration",
                                   "completed",
                                   "failed",
                                   "total_input_tokens",
                                   "total_output_tokens",
                                   "request_throughput",
                                   "request_goodput",
                                   "output_throughput",
                                   "total_token_throughput",
                                   "max_concurrent_requests",
                                   "input_lens",
                                   "output_lens",
                                   "ttfts",
                                   "itls",
                                   "errors"};
  for (const char* figure : {"mean", "median", "std", "p50", "p90", "p95", "p99"}) {
    for (const char* time : {"ttft", "tpot", "itl", "e2el"}) {
      keys.push_back(absl::StrCat(figure, "_", time, "_ms"));
    }
  }
  for (const std::string& key : keys) EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["completed"], 5);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["total_output_tokens"], 15);
  EXPECT_DOUBLE_EQ(json["median_ttft_ms"], 40);
  EXPECT_DOUBLE_EQ(json["mean_itl_ms"], 25);
  EXPECT_DOUBLE_EQ(json["mean_tpot_ms"], 30);
  EXPECT_DOUBLE_EQ(json["p99_send_lateness_ms"], 1);
  EXPECT_EQ(json["input_lens"].size(), 6u) << "without the warm-up";
  EXPECT_EQ(json["itls"][0], nlohmann::json({0.02, 0.03}));
  EXPECT_EQ(json["errors"][0], "");
  EXPECT_THAT(json["errors"][5].get<std::string>(), StartsWith("RESOURCE_EXHAUSTED: "));
  EXPECT_EQ(json["request_rate"], 1);
}

TEST_F(ReportsTest, JsonOfSeveralStagesIsAnArray) {
  options_.find_max_rate = true;
  run_.max_rate = 1;
  const nlohmann::json json = RunToJson(options_, run_);
  ASSERT_EQ(json["stages"].size(), 2u);
  EXPECT_EQ(json["stages"][1]["level"], "rate 1..9");
  EXPECT_EQ(json["max_rate"], 1);
  EXPECT_FALSE(json.contains("completed"));
  EXPECT_EQ(json["model_id"], "demo <model>");
}

TEST_F(ReportsTest, TextHasTablesErrorsAndTheClientsOwnFigures) {
  options_.retry_policy = true;
  run_.retries = 17;
  EXPECT_THAT(RunToText(options_, run_),
              AllOf(HasSubstr("rate 1..9"), HasSubstr("first token"), HasSubstr("sent late"),
                    HasSubstr("2 x RESOURCE_EXHAUSTED"), HasSubstr("us of CPU"),
                    HasSubstr("Retries: 17"), HasSubstr("83.3%") /* good */));
}

// Checks that tags nest and attributes are quoted, with a stack; no more XML than the report has.
testing::AssertionResult IsWellFormed(const std::string& html) {
  static const std::regex kTag("<(/?)([a-zA-Z0-9]+)((?: [a-zA-Z0-9-]+=\"[^\"<]*\")*)\\s*(/?)>");
  std::vector<std::string> open;
  size_t at = html.find('\n');  // after the DOCTYPE
  while ((at = html.find_first_of("<&", at)) != std::string::npos) {
    std::smatch tag;
    if (html[at] == '&') {
      static const std::regex kEntity("&(amp|lt|gt|quot);");
      if (!std::regex_search(html.begin() + at, html.end(), tag, kEntity,
                             std::regex_constants::match_continuous)) {
        return testing::AssertionFailure() << "bare & at: " << html.substr(at, 60);
      }
      ++at;
      continue;
    }
    if (!std::regex_search(html.begin() + at, html.end(), tag, kTag,
                           std::regex_constants::match_continuous)) {
      return testing::AssertionFailure() << "no tag at: " << html.substr(at, 60);
    }
    at += tag.length();
    if (tag[4] == "/") continue;
    if (tag[1] != "/") {
      open.push_back(tag[2]);
    } else if (open.empty() || open.back() != tag[2]) {
      return testing::AssertionFailure() << "closes nothing: " << tag.str();
    } else {
      open.pop_back();
    }
  }
  if (!open.empty()) return testing::AssertionFailure() << "never closed: " << open.back();
  return testing::AssertionSuccess();
}

TEST(IsWellFormedTest, SeesWhatIsNot) {
  EXPECT_TRUE(IsWellFormed("\n<a b=\"c\"><d/>&lt;</a>"));
  for (const char* wrong : {"\n<a>", "\n<a></b>", "\n</a>", "\n<a b=c></a>", "\n<a>&</a>", "\n<"}) {
    EXPECT_FALSE(IsWellFormed(wrong)) << wrong;
  }
}

TEST_F(ReportsTest, HtmlIsWellFormedAndRefersToNothingElse) {
  std::string html = RunToHtml(options_, run_);
  EXPECT_TRUE(IsWellFormed(html));
  for (const char* text : {"demo &lt;model&gt;", "rate 1..9", "Against load", "Timeline",
                           "RESOURCE_EXHAUSTED", "<svg"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
  for (const char* ns : {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}) {
    for (size_t at; (at = html.find(ns)) != std::string::npos;) html.erase(at, std::strlen(ns));
  }
  for (const char* reference : {"http", "//", "src=", "href=", "url(", "@import", "<script"}) {
    EXPECT_THAT(html, Not(HasSubstr(reference)));
  }
}

TEST_F(ReportsTest, HtmlOfOneStageOrNoRequestIsWellFormedToo) {
  run_.stages.pop_back();
  EXPECT_THAT(RunToHtml(options_, run_), Not(HasSubstr("Against load")));
  run_.stages[0].records.clear();
  run_.stages[0].summary = SummarizeStage("rate 1", {}, {}, options_.slos, 0);
  EXPECT_TRUE(IsWellFormed(RunToHtml(options_, run_)));
  run_.stages.clear();
  EXPECT_TRUE(IsWellFormed(RunToHtml(options_, run_)));
}

TEST(CdfPointsTest, EndsAtTheLargestValueAndStaysSmall) {
  std::vector<double> values;
  for (int i = 1; i <= 12'345; ++i) values.push_back(i);
  const std::vector<Point> points = CdfPoints(values);
  EXPECT_LE(points.size(), 502u);
  EXPECT_EQ(points.front().x, 1);
  EXPECT_EQ(points.back().x, 12'345);
  EXPECT_EQ(points.back().y, 1);
  for (const Point& point : points) EXPECT_DOUBLE_EQ(point.y, point.x / 12'345);
  EXPECT_TRUE(CdfPoints({}).empty());
}

TEST_F(ReportsTest, TimelineHoldsEveryToken) {
  const Plot plot = TokensOverTime(run_);
  double tokens = 0;
  const auto& points = plot.series[0].points;
  for (const Point& point : points) tokens += point.y * (points[1].x - points[0].x);
  EXPECT_NEAR(tokens, 2 * 6 * 3, 1e-6) << "with the warm-up";
}

}  // namespace
}  // namespace winnow::load
