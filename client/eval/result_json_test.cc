#include "client/eval/result_json.h"

#include "client/eval/testing/made_up_result.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace winnow::eval {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ResultJsonTest, HasFiguresAndAnswers) {
  const nlohmann::json json = ResultToJson(MadeUpResult());
  ASSERT_THAT(json["variants"], SizeIs(2));
  const nlohmann::json& variant = json["variants"][1];
  EXPECT_EQ(variant["name"], "window & co");
  EXPECT_EQ(variant["model"]["layer_kinds"], nlohmann::json({"gdn", "lte", "gdn"}));
  EXPECT_EQ(variant["model"]["backend"], "cpu");
  EXPECT_TRUE(variant["alone"].is_null());
  ASSERT_THAT(variant["cells"], SizeIs(6));
  const nlohmann::json& cell = variant["cells"][1];
  EXPECT_EQ(cell["task"], "single");
  EXPECT_EQ(cell["depth"], 100);
  EXPECT_EQ(cell["right"], 5);
  EXPECT_EQ(cell["exact"], 0.5);
  EXPECT_NEAR(cell["exact_low"], 0.2366, 1e-4);
  EXPECT_EQ(cell["digits"], 0.8);
  EXPECT_EQ(cell["state_bytes"], 2048);
  EXPECT_EQ(cell["answers"][0]["answer"], " 48\"13");
  EXPECT_TRUE(variant["cells"][3]["depth"].is_null());
}

TEST(ResultJsonTest, IsReadBackWhole) {
  EvalResult result = MadeUpResult();
  result.seed = ~uint64_t{0};
  result.variants[0].times = {.prompt_tokens = 4096, .prompt_us = 41.5, .output_us = 390};
  result.variants[0].errors["UNAVAILABLE: gone"] = 10;
  result.variants[0].cells[4] = {};  // was not asked
  const auto back = ResultFromJsonText(ResultToJsonText(result));
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->variants[0].cells.size(), result.cells.size());
  // The cell that the first variant was not asked comes last now: compare by what is in them.
  EXPECT_EQ(back->seed, result.seed);
  EXPECT_EQ(back->variants[1].info.layer_kinds_size(), 3);
  EXPECT_EQ(ResultToJson(*back)["variants"][0], ResultToJson(result)["variants"][0]);
  result.variants[0] = result.variants[1];
  const auto same = ResultFromJsonText(ResultToJsonText(result));
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(ResultToJson(*same), ResultToJson(result));
}

TEST(ResultJsonTest, BytesThatAreNoTextAreReplaced) {
  EvalResult result = MadeUpResult();
  result.variants[0].cells[0].answers[0].answer = "\xff";
  const auto back = ResultFromJsonText(ResultToJsonText(result));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->variants[0].cells[0].answers[0].answer, "\xEF\xBF\xBD");
}

TEST(ResultJsonTest, OtherTextsAreRefused) {
  EXPECT_EQ(ResultFromJsonText("{").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ResultFromJsonText("{}").status().message()), HasSubstr("date"));
  nlohmann::json json = ResultToJson(MadeUpResult());
  json["variants"][0]["cells"][0]["task"] = "double";
  EXPECT_THAT(std::string(ResultFromJsonText(json.dump()).status().message()),
              HasSubstr("there is no task \"double\""));
  json = ResultToJson(MadeUpResult());
  json["variants"][0]["model"]["backend"] = 7;
  json["variants"][0]["model"]["no_field"] = "x";
  EXPECT_THAT(std::string(ResultFromJsonText(json.dump()).status().message()),
              HasSubstr("\"model\": "));
}

}  // namespace
}  // namespace winnow::eval
