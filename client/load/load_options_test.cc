#include "client/load/load_options.h"

#include <string>
#include <vector>

#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

LoadCommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "winnow-load");
  return ParseLoadCommandLine(static_cast<int>(args.size()), args.data());
}

LoadOptions Parsed(std::vector<const char*> args) {
  const LoadCommandLine line = Parse(std::move(args));
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(LoadOptions());
}

std::vector<std::string> Levels(const LoadOptions& options) {
  std::vector<std::string> levels;
  for (const LoadLevel& level : options.levels) levels.push_back(ToString(level));
  return levels;
}

TEST(LoadOptionsTest, OpenLoopWithASweepAndARamp) {
  const LoadOptions options = Parsed({"--rate=1,2.5,1..20", "--duration=30s"});
  EXPECT_THAT(Levels(options), ElementsAre("rate 1", "rate 2.5", "rate 1..20"));
  EXPECT_EQ(options.duration, absl::Seconds(30));
  EXPECT_EQ(options.arrivals.burstiness, 1);
  EXPECT_FALSE(options.num_requests.has_value());
}

TEST(LoadOptionsTest, ClosedLoopWithASweep) {
  const LoadOptions options = Parsed({"--concurrency=1,256", "--num_requests=1024"});
  EXPECT_THAT(Levels(options), ElementsAre("concurrency 1", "concurrency 256"));
  EXPECT_EQ(options.num_requests, 1024);
}

TEST(LoadOptionsTest, EveryFlagReachesTheOptions) {
  const LoadOptions options = Parsed({"--rate=4",
                                      "--num_requests=7",
                                      "--arrivals=gamma",
                                      "--burstiness=0.5",
                                      "--warmup_requests=3",
                                      "--seed=9",
                                      "--prompt_tokens=uniform:1,5",
                                      "--output_tokens=lognormal:8,2",
                                      "--requests_file=/r",
                                      "--cancel_share=0.25",
                                      "--slow_share=0.5",
                                      "--slow_delay=20ms",
                                      "--stop_at_eos",
                                      "--temperature=0",
                                      "--skip_text",
                                      "--slo=ttft:200,tpot:40",
                                      "--slo=e2el:5000",
                                      "--slo_share=0.9",
                                      "--find-max-rate",
                                      "--server=a:1,b:2",
                                      "--channels=4",
                                      "--retry_policy",
                                      "--timeout=30s",
                                      "--model=m",
                                      "--tls",
                                      "--tls_ca=/ca",
                                      "--token_file=/t",
                                      "--json=-",
                                      "--html=/h",
                                      "--quiet"});
  EXPECT_EQ(options.arrivals.burstiness, 0.5);
  EXPECT_EQ(options.warmup_requests, 3);
  EXPECT_EQ(options.seed, 9u);
  EXPECT_EQ(options.prompt_tokens.ToString(), "uniform:1,5");
  EXPECT_EQ(options.output_tokens.ToString(), "lognormal:8,2");
  EXPECT_EQ(options.requests_file, "/r");
  EXPECT_EQ(options.cancel_share, 0.25);
  EXPECT_EQ(options.slow_share, 0.5);
  EXPECT_EQ(options.slow_delay, absl::Milliseconds(20));
  EXPECT_TRUE(options.stop_at_eos && options.skip_text && options.find_max_rate);
  EXPECT_EQ(options.temperature, 0);
  EXPECT_EQ(options.slos.ttft_ms, 200);
  EXPECT_EQ(options.slos.tpot_ms, 40);
  EXPECT_EQ(options.slos.e2el_ms, 5000);
  EXPECT_EQ(options.slo_share, 0.9);
  EXPECT_THAT(options.servers, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(options.channels, 4);
  EXPECT_TRUE(options.retry_policy && options.tls.enabled && options.quiet);
  EXPECT_EQ(options.timeout, absl::Seconds(30));
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(options.tls.ca, "/ca");
  EXPECT_EQ(options.token_file, "/t");
  EXPECT_EQ(options.json, "-");
  EXPECT_EQ(options.html, "/h");
}

TEST(LoadOptionsTest, GoodputTakesWordsAsItsModelDoes) {
  const LoadOptions options =
      Parsed({"--rate=1", "--duration=1s", "--goodput", "ttft:200", "tpot:40"});
  EXPECT_EQ(options.slos.ttft_ms, 200);
  EXPECT_EQ(options.slos.tpot_ms, 40);
}

TEST(LoadOptionsTest, ConstantArrivalsHaveNoBurstiness) {
  const LoadOptions options = Parsed({"--rate=1", "--duration=1s", "--arrivals=constant"});
  EXPECT_FALSE(options.arrivals.burstiness.has_value());
}

TEST(LoadOptionsTest, HelpNamesExamplesAndExitCodes) {
  const LoadCommandLine line = Parse({"--help"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, AllOf(HasSubstr("--find_max_rate"), HasSubstr("Examples:"),
                               HasSubstr("Exit codes:"), HasSubstr("--tls_ca")));
}

struct Wrong {
  std::vector<const char*> args;
  std::vector<const char*> says;
};

TEST(LoadOptionsTest, ErrorsNameFlagValueAndRange) {
  const std::vector<Wrong> cases = {
      {{}, {"--rate or --concurrency"}},
      {{"--rate=1", "--concurrency=1", "--duration=1s"}, {"--rate", "--concurrency"}},
      {{"--rate=1"}, {"--duration", "--num_requests"}},
      {{"--rate=1", "--duration=1s", "--num_requests=1"}, {"--duration", "--num_requests"}},
      {{"--rate=0", "--duration=1s"}, {"--rate=0", "0.001 to 1000000"}},
      {{"--rate=1..x", "--duration=1s"}, {"--rate=1..x", "0.001 to 1000000"}},
      {{"--rate=nan", "--duration=1s"}, {"--rate=nan"}},
      {{"--concurrency=0", "--duration=1s"}, {"--concurrency=0", "1 to 100000"}},
      {{"--rate=1", "--duration=-1s"}, {"--duration=-1s", "up to 1000h"}},
      {{"--rate=1", "--num_requests=0"}, {"--num_requests=0", "1 to 10000000"}},
      {{"--rate=1", "--num_requests=1", "--warmup_requests=-1"},
       {"--warmup_requests=-1", "0 to 1000000"}},
      {{"--rate=1", "--num_requests=1", "--arrivals=even"},
       {"--arrivals=even", "poisson, gamma or constant"}},
      {{"--rate=1", "--num_requests=1", "--burstiness=2"}, {"--burstiness", "--arrivals=gamma"}},
      {{"--rate=1", "--num_requests=1", "--arrivals=gamma", "--burstiness=0"},
       {"--burstiness=0", "0.01 to 1000"}},
      {{"--rate=1", "--num_requests=1", "--prompt_tokens=0"},
       {"--prompt_tokens=0", "1 to 1000000"}},
      {{"--rate=1", "--num_requests=1", "--cancel_share=1.5"}, {"--cancel_share=1.5", "0 to 1"}},
      {{"--rate=1", "--num_requests=1", "--cancel_share=0.75", "--slow_share=0.5"},
       {"--cancel_share + --slow_share=1.25", "at most 1"}},
      {{"--rate=1", "--num_requests=1", "--slow_delay=0s"}, {"--slow_delay=0s"}},
      {{"--rate=1", "--num_requests=1", "--channels=0"}, {"--channels=0", "1 to 1000"}},
      {{"--rate=1", "--num_requests=1", "--slo=itl:4"}, {"--slo=itl:4", "ttft, tpot or e2el"}},
      {{"--rate=1", "--num_requests=1", "--slo=ttft:0"}, {"--slo=ttft:0", "above 0"}},
      {{"--rate=1", "--num_requests=1", "--slo=ttft:1,ttft:2"}, {"--slo=ttft:2", "already"}},
      {{"--rate=1", "--num_requests=1", "--slo=ttft:1", "--slo_share=0"},
       {"--slo_share=0", "above 0 and up to 1"}},
      {{"--rate=1", "--num_requests=1", "--find_max_rate"}, {"--find_max_rate", "--slo"}},
      {{"--rate=1,2", "--num_requests=1", "--find_max_rate", "--slo=ttft:1"}, {"one rate"}},
      {{"--rate=1", "--num_requests=1", "--tls_ca=/x"}, {"--tls_ca", "--tls"}},
      {{"--rate=1", "--num_requests=1", "--wrong"}, {"--wrong"}},
  };
  for (const Wrong& wrong : cases) {
    const LoadCommandLine line = Parse(wrong.args);
    EXPECT_FALSE(line.options.has_value()) << testing::PrintToString(wrong.args);
    EXPECT_EQ(line.exit_code, kExitUsage);
    for (const char* text : wrong.says) EXPECT_THAT(line.text, HasSubstr(text));
  }
}

}  // namespace
}  // namespace winnow::load
