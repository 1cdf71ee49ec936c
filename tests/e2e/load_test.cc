// winnow-load as a process against servers in this one: what it reports is what they answered.
#include <signal.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/child_server.h"
#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/demo_server.h"
#include "tests/e2e/flaky_service.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/http_get.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/scrape.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kLoad[] = "client/load/winnow-load";

Ended RunLoad(const std::string& servers, const std::string& flags) {
  return RunCommand(absl::StrCat(kLoad, " --server=", servers, " ", flags, " </dev/null 2>&1"));
}

// Its figures; a failure if it does not end well.
nlohmann::json Figures(const std::string& servers, const std::string& flags) {
  const Ended run = RunLoad(servers, absl::StrCat(flags, " --quiet --json=-"));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  return nlohmann::json::parse(run.output, nullptr, /*allow_exceptions=*/false);
}

// What the server's log says of calls that ended with this code.
struct Answered {
  int64_t calls = 0, prompt_tokens = 0, output_tokens = 0;
};
Answered AnsweredWith(const std::string& code, const LogCapture& log) {
  static const std::regex kNumbers("; (\\d+) prompt tokens(, (\\d+) output tokens)?");
  Answered answered;
  for (const std::string& line : log.lines()) {
    std::smatch numbers;
    if (!absl::StrContains(line, absl::StrCat(": ", code)) ||
        !std::regex_search(line, numbers, kNumbers)) {
      continue;
    }
    ++answered.calls;
    answered.prompt_tokens += std::stoll(numbers[1]);
    if (numbers[3].matched) answered.output_tokens += std::stoll(numbers[3]);
  }
  return answered;
}

TEST(LoadTest, ClosedLoopCountsWhatTheDemoModelAnswered) {
  DemoServer server;
  LogCapture log;
  const auto figures = Figures(server.address(),
                               "--concurrency=6 --num_requests=30 --prompt_tokens=uniform:5,60 "
                               "--output_tokens=lognormal:20,10 --seed=3");
  EXPECT_EQ(figures["completed"], 30);
  EXPECT_EQ(figures["failed"], 0);
  EXPECT_LE(figures["max_concurrent_requests"], 6);
  ASSERT_TRUE(WaitUntil([&] { return AnsweredWith("OK", log).calls >= 30; }));
  const Answered answered = AnsweredWith("OK", log);
  EXPECT_EQ(answered.calls, 30);
  EXPECT_EQ(figures["total_input_tokens"], answered.prompt_tokens);
  EXPECT_EQ(figures["total_output_tokens"], answered.output_tokens);
  EXPECT_THAT(figures["input_lens"], SizeIs(30));
  EXPECT_THAT(figures["errors"], Each(""));
  EXPECT_GT(figures["median_ttft_ms"], 0);
  EXPECT_LT(figures["median_ttft_ms"], figures["median_e2el_ms"]);
}

TEST(LoadTest, CancelsReachTheServerAndAreCountedByBoth) {
  DemoServer server;
  LogCapture log;
  const auto figures = Figures(server.address(),
                               "--concurrency=6 --num_requests=16 --prompt_tokens=10 "
                               "--output_tokens=600 --cancel_share=0.5 --seed=2");
  const int64_t cancelled = figures["cancelled"];
  EXPECT_GT(cancelled, 2);
  EXPECT_EQ(figures["completed"], 16 - cancelled);
  EXPECT_EQ(figures["failed"], 0);
  ASSERT_TRUE(WaitUntil(
      [&] { return AnsweredWith("OK", log).calls + AnsweredWith("CANCELLED", log).calls == 16; }));
  EXPECT_EQ(AnsweredWith("CANCELLED", log).calls, cancelled);
  EXPECT_EQ(AnsweredWith("OK", log).output_tokens, (16 - cancelled) * 600);
  EXPECT_EQ(figures["total_input_tokens"], 160);
  EXPECT_LT(figures["total_output_tokens"], 16 * 600 - cancelled * 250);
}

TEST(LoadTest, OpenLoopSweepsWithWarmUpAndReports) {
  TestServer server;
  const std::string html_path = testing::TempDir() + "/report.html";
  const auto figures = Figures(
      server.address(),
      absl::StrCat("--rate=50,100..200 --num_requests=20 --warmup_requests=5 --output_tokens=8 "
                   "--slo=ttft:60000 --html=",
                   html_path));
  ASSERT_THAT(figures["stages"], SizeIs(2));
  for (const auto& stage : figures["stages"]) {
    EXPECT_EQ(stage["completed"], 20);
    EXPECT_EQ(stage["warmup_requests"], 5);
    EXPECT_EQ(stage["total_output_tokens"], 160);
    EXPECT_EQ(stage["received_tokens"], 200);
    EXPECT_EQ(stage["good_share"], 1);
    EXPECT_GE(stage["duration"], stage["level"] == "rate 50" ? 0.39 : 0.13);
  }
  std::ifstream file(html_path);
  const std::string html((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_THAT(html, AllOf(HasSubstr("rate 100..200"), HasSubstr("</html>")));
}

// The demo model's process and its metrics port; another program may take the free port first.
std::unique_ptr<ChildServer> StartWithMetrics(int* port) {
  for (int attempt = 1;; ++attempt) {
    *port = FreePort();
    auto server = ChildServer::Start("server/winnow-server",
                                     {"--model=deploy/demo-model", "--state_memory=64MiB",
                                      "--shutdown_delay=0", absl::StrCat("--metrics_port=", *port)},
                                     absl::Seconds(60));
    if (server.ok()) return *std::move(server);
    WINNOW_CHECK(attempt < 5) << server.status();
  }
}

TEST(LoadTest, FiguresOfASweepEqualTheServersMetrics) {
  int port = 0;
  const auto server = StartWithMetrics(&port);
  const auto figures = Figures(server->address(),
                               "--rate=20,60 --num_requests=30 --prompt_tokens=uniform:5,80 "
                               "--output_tokens=uniform:1,30 --seed=7");
  int64_t requests = 0, prompt_tokens = 0, output_tokens = 0;
  for (const auto& stage : figures["stages"]) {
    EXPECT_EQ(stage["failed"], 0);
    requests += stage["completed"].get<int64_t>();
    prompt_tokens += stage["total_input_tokens"].get<int64_t>();
    output_tokens += stage["total_output_tokens"].get<int64_t>();
  }
  EXPECT_EQ(requests, 60);
  const Scrape scrape = ScrapePort(port);
  EXPECT_EQ(scrape.at("winnow_requests_finished_total{reason=\"length\"}") +
                scrape.at("winnow_requests_finished_total{reason=\"stop\"}"),
            requests);
  EXPECT_EQ(scrape.at("winnow_prompt_tokens_total"), prompt_tokens);
  EXPECT_EQ(scrape.at("winnow_generated_tokens_total"), output_tokens);
  EXPECT_EQ(scrape.at("winnow_time_to_first_token_seconds_count"), requests);
}

TEST(LoadTest, SlowReadersCountButTheirTimesDoNot) {
  TestServer server;
  const auto figures = Figures(server.address(),
                               "--concurrency=4 --num_requests=4 --output_tokens=5 "
                               "--slow_share=1 --slow_delay=1ms");
  EXPECT_EQ(figures["completed"], 4);
  EXPECT_EQ(figures["total_output_tokens"], 20);
  EXPECT_EQ(figures["mean_ttft_ms"], 0);
}

TEST(LoadTest, RequestsComeFromAFile) {
  TestServer server;
  const std::string path = testing::TempDir() + "/requests.jsonl";
  std::ofstream(path) << "{\"prompt\": \"hello\", \"output_tokens\": 3}\n"
                         "{\"prompt_token_ids\": [1, 2], \"output_tokens\": 4}\n";
  const auto figures = Figures(
      server.address(), absl::StrCat("--concurrency=1 --num_requests=4 --requests_file=", path));
  EXPECT_EQ(figures["output_lens"], nlohmann::json({3, 4, 3, 4}));
  EXPECT_EQ(figures["input_lens"][1], 2);
}

TEST(LoadTest, DurationEndsAClosedLoop) {
  TestServer server;
  const auto figures =
      Figures(server.address(), "--concurrency=2 --duration=300ms --output_tokens=4");
  EXPECT_GT(figures["completed"], 2);
  EXPECT_GE(figures["duration"], 0.2);
}

TEST(LoadTest, FindsTheHighestRateItMayTry) {
  TestServer server;
  const auto figures = Figures(server.address(),
                               "--find_max_rate --rate=50 --num_requests=4 --output_tokens=2 "
                               "--slo=ttft:60000");
  EXPECT_EQ(figures["max_rate"], 50'000);
}

TEST(LoadTest, RetriesAreGrpcsAndAreReported) {
  FlakyService service(/*refuses_first_attempts=*/true);
  const auto figures =
      Figures(service.address(), "--concurrency=4 --num_requests=12 --retry_policy --channels=2");
  EXPECT_EQ(figures["completed"], 12);
  EXPECT_EQ(service.num_refused(), 12);
  EXPECT_EQ(service.num_answered(), 12);
  EXPECT_EQ(figures["retries"], service.num_retries());
}

TEST(LoadTest, WithoutRefusalsThereAreNoRetries) {
  TestServer server;
  const auto figures = Figures(server.address(),
                               "--concurrency=4 --num_requests=12 --output_tokens=2 "
                               "--retry_policy --channels=3");
  EXPECT_EQ(figures["completed"], 12);
  EXPECT_EQ(figures["retries"], 0);
}

// A rolling restart, as its clients see it.
TEST(LoadTest, OneOfTwoServersLeavesAndNoRequestFails) {
  const std::vector<std::string> flags = {"--model=deploy/demo-model", "--state_memory=64MiB",
                                          "--shutdown_delay=300ms", "--drain_timeout=5m"};
  auto leaving = ChildServer::Start("server/winnow-server", flags, absl::Seconds(60));
  auto staying = ChildServer::Start("server/winnow-server", flags, absl::Seconds(60));
  ASSERT_TRUE(leaving.ok() && staying.ok()) << leaving.status() << staying.status();
  int exit_code = -1;
  std::thread restart([&] {
    Client client((*leaving)->address());
    EXPECT_TRUE(WaitUntil([&] { return client.GetLoad().running() > 0; }));
    (*leaving)->Signal(SIGTERM);
    exit_code = (*leaving)->WaitForExit();
  });
  const auto figures =
      Figures(absl::StrCat((*leaving)->address(), ",", (*staying)->address()),
              "--rate=20 --num_requests=60 --prompt_tokens=20 --output_tokens=40 --retry_policy");
  restart.join();
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(figures["completed"], 60) << figures["errors_by_kind"];
  EXPECT_EQ(figures["total_output_tokens"], 60 * 40) << "every stream ended whole";
  EXPECT_GE(figures["retries"], 0);
}

TEST(LoadTest, WithoutRetryPolicyRefusedRequestsFail) {
  FlakyService service(/*refuses_first_attempts=*/true);
  const Ended run =
      RunLoad(service.address(), "--concurrency=4 --num_requests=12 --output_tokens=2");
  EXPECT_EQ(run.exit_code, kExitOther) << "no request was answered";
  EXPECT_THAT(run.output, HasSubstr("12 x UNAVAILABLE: not the first time"));
  EXPECT_EQ(service.num_retries(), 0);
}

TEST(LoadTest, SeveralServersTakeTurns) {
  FlakyService first(false), second(false);
  const auto figures = Figures(absl::StrCat(first.address(), ",", second.address()),
                               "--concurrency=2 --num_requests=40");
  EXPECT_EQ(figures["completed"], 40);
  EXPECT_EQ(first.num_answered() + second.num_answered(), 40);
  EXPECT_GT(first.num_answered(), 10);
  EXPECT_GT(second.num_answered(), 10);
}

TEST(LoadTest, TextHasTheTablesAndNoProgressWithoutTerminal) {
  TestServer server;
  const Ended run = RunLoad(server.address(), "--concurrency=2 --num_requests=6 --output_tokens=3");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, AllOf(HasSubstr("concurrency 2"), HasSubstr("first token"),
                                HasSubstr("us of CPU"), Not(HasSubstr("\r"))));
}

TEST(LoadTest, ErrorsSayWhatIsWrong) {
  TestServer server;
  Ended run = RunLoad(server.address(), "--rate=0 --duration=1s");
  EXPECT_EQ(run.exit_code, kExitUsage);
  EXPECT_THAT(run.output, HasSubstr("--rate=0: "));
  run = RunLoad(server.address(), "--rate=1 --num_requests=1 --requests_file=/none");
  EXPECT_EQ(run.exit_code, kExitUsage);
  EXPECT_THAT(run.output, HasSubstr("/none"));
  run = RunLoad(server.address(), "--rate=1 --num_requests=1 --model=other");
  EXPECT_EQ(run.exit_code, kExitRefused);
  EXPECT_THAT(run.output, HasSubstr("other"));
}

}  // namespace
}  // namespace winnow
