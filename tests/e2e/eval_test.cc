// winnow-eval as a process against the demo model: what it asks, what the model makes of it, and
// what it says when something is wrong.
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/demo_server.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/programs.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

Ended RunEval(const std::string& flags) {
  return RunCommand(absl::StrCat("client/eval/winnow-eval ", flags, " </dev/null 2>&1"));
}

// Its figures; a failure if it does not end well.
nlohmann::json Figures(const std::string& flags) {
  const Ended run = RunEval(absl::StrCat(flags, " --quiet --json=-"));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  return nlohmann::json::parse(run.output, nullptr, /*allow_exceptions=*/false);
}

TEST(EvalTest, TheDemoModelFindsSingleFacts) {
  DemoServer server;
  const auto figures = Figures(absl::StrCat("--server=demo=", server.address(),
                                            " --tasks=single --lengths=256,512 --depths=0,50,100 ",
                                            "--texts=9 --concurrency=8 --time"));
  ASSERT_THAT(figures["variants"], SizeIs(1));
  const auto& variant = figures["variants"][0];
  EXPECT_EQ(variant["name"], "demo");
  EXPECT_EQ(variant["model"]["name"], "demo-model");
  EXPECT_EQ(variant["model"]["kept_tokens_per_head"], 128);
  EXPECT_NEAR(variant["alone"]["prompt_tokens"].get<double>(), 512, 25);
  EXPECT_GT(variant["alone"]["output_us_per_token"], 0);
  ASSERT_THAT(variant["cells"], SizeIs(6));
  int right = 0;
  for (const auto& cell : variant["cells"]) {
    EXPECT_EQ(cell["texts"], 3);
    right += cell["right"].get<int>();
    // As long as asked for, but for a sentence.
    EXPECT_NEAR(cell["prompt_tokens"].get<double>() / 3, cell["tokens"].get<double>(), 25);
    EXPECT_THAT(cell["answers"], SizeIs(3));
  }
  EXPECT_GE(right, 17) << "of 18, far within training: " << variant["cells"].dump();
}

TEST(EvalTest, EveryTaskIsUnderstoodAndTheSeedDecidesAll) {
  DemoServer server;
  const std::string flags =
      absl::StrCat("--server=", server.address(),
                   " --tasks=multi_key,multi_query,multi_value,distractors --many_lengths=520 "
                   "--facts=4 --texts=2 --seed=");
  const auto figures = Figures(flags + "5");
  const auto& cells = figures["variants"][0]["cells"];
  ASSERT_THAT(cells, SizeIs(4));
  double digits = 0;
  for (const auto& cell : cells) digits += cell["digits"].get<double>();
  EXPECT_GT(digits / 4, 0.5) << "chance is 0.1: " << cells.dump();
  EXPECT_THAT(cells[1]["answers"], SizeIs(2 * 4)) << "four questions to each text";
  EXPECT_EQ(Figures(flags + "5")["variants"][0]["cells"], cells);
  EXPECT_NE(Figures(flags + "6")["variants"][0]["cells"], cells);
}

TEST(EvalTest, VariantsMakeOneTable) {
  DemoServer learned;
  Options options = DemoOptions();
  options.experiment_buffer_size = 0;
  DemoServer window(options);
  const std::string html_path = testing::TempDir() + "/eval.html";
  const Ended run =
      RunEval(absl::StrCat("--server=learned=", learned.address(), ",window=", window.address(),
                           " --tasks=single,multi_key --lengths=300 --depths=0 --many_lengths=300 "
                           "--facts=2,4 --texts=4 ",
                           "--html=", html_path));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("Single facts, by tokens of the prompt"), HasSubstr("learned"),
                    HasSubstr("window"), HasSubstr("One of many facts in 300 tokens"),
                    Not(HasSubstr("\r"))));
  std::ifstream file(html_path);
  const std::string html((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_THAT(html, AllOf(HasSubstr("Single facts: learned"), HasSubstr("Single facts: window"),
                          HasSubstr("</html>")));
}

TEST(EvalTest, ErrorsSayWhatIsWrong) {
  TestServer no_tokenizer(TestOptions(), /*with_tokenizer=*/false);
  Ended run = RunEval("--depths=200");
  EXPECT_EQ(run.exit_code, kExitUsage);
  EXPECT_THAT(run.output, HasSubstr("--depths=200: "));
  run = RunEval(absl::StrCat("--server=ids=", no_tokenizer.address()));
  EXPECT_EQ(run.exit_code, kExitRefused);
  EXPECT_THAT(run.output, HasSubstr("server ids at"));
  EXPECT_THAT(run.output, HasSubstr("has no tokenizer"));
  run = RunEval("--token_file=/none");
  EXPECT_EQ(run.exit_code, kExitRefused);
  EXPECT_THAT(run.output, HasSubstr("/none"));
}

TEST(EvalTest, UnansweredQuestionsAreCountedAsSuch) {
  Options options = DemoOptions();
  options.max_prompt_tokens = 300;
  DemoServer server(options);
  const Ended run =
      RunEval(absl::StrCat("--server=short=", server.address(),
                           " --tasks=single --lengths=200,400 --depths=50 --texts=2"));
  EXPECT_EQ(run.exit_code, kExitOther);
  EXPECT_THAT(run.output, AllOf(HasSubstr("2 failed"), HasSubstr("INVALID_ARGUMENT")));
}

}  // namespace
}  // namespace winnow
