// The server process as its operator has it: flags from a file, a log in JSON, metrics until the
// end.
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/child_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/harness.h"
#include "tests/e2e/http_get.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/scrape.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kServer[] = "server/winnow-server";
constexpr uint32_t kForever = 1'000'000'000;

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", name);
  std::ofstream(path) << text;
  return path;
}

std::unique_ptr<ChildServer> StartServer(const std::vector<std::string>& flags) {
  auto server = ChildServer::Start(kServer, flags, absl::Seconds(60));
  WINNOW_CHECK(server.ok()) << server.status();
  return *std::move(server);
}

// With flags from a file and a metrics port in it. Another program may take the free port first.
struct MeasuredProcess {
  std::unique_ptr<ChildServer> server;
  int metrics_port = 0;
};
MeasuredProcess StartFromFile(nlohmann::json config) {
  config["model"] = "deploy/demo-model";
  config["state_memory"] = "64MiB";
  for (int attempt = 1;; ++attempt) {
    const int port = FreePort();
    config["metrics_port"] = port;
    const std::string path = WriteFile("config.json", config.dump());
    auto server = ChildServer::Start(kServer, {"--config=" + path}, absl::Seconds(60));
    if (server.ok()) return {*std::move(server), port};
    WINNOW_CHECK(attempt < 5) << server.status();
  }
}

TEST(ConfigProcessTest, PrintedConfigurationServesTheSame) {
  const std::string flags =
      "--model=deploy/demo-model --state_memory=64MiB --max_sequences=3 --print_config";
  const Ended printed = RunCommand(absl::StrCat(kServer, " ", flags));
  ASSERT_EQ(printed.exit_code, 0);
  const auto server = StartServer({"--config=" + WriteFile("printed.yaml", printed.output)});
  Client client(server->address());  // --listen on the command line wins
  EXPECT_EQ(client.GetLoad().slots_total(), 3);
}

TEST(ConfigProcessTest, WrongFileEndsTheServerAtOnce) {
  const std::string path = WriteFile("wrong.yaml", "model: deploy/demo-model\nthreads: 0\n");
  const Ended run = RunCommand(absl::StrCat(kServer, " --config=", path, " 2>&1"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr(absl::StrCat(
                              path, ":2: --threads=0: must be a whole number from 1 to 1024")));
}

TEST(LogProcessTest, EveryLineIsAnObjectAndARequestEndsWithOne) {
  const MeasuredProcess measured = StartFromFile({{"log_format", "json"}, {"shutdown_delay", "0"}});
  Client client(measured.server->address());
  v1::GenerateRequest request = TextRequest("The code of the nimble cloud", 4);
  request.set_request_id("the-request");
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  measured.server->Signal(SIGTERM);
  EXPECT_EQ(measured.server->WaitForExit(), 0);
  const std::string tail = measured.server->LogTail();  // may begin within a line
  const std::string log = tail.substr(tail.find("{\"time\""));
  EXPECT_THAT(log, Not(HasSubstr("nimble")));
  int num_ends = 0;
  for (const absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const auto object = nlohmann::json::parse(line);
    EXPECT_TRUE(object.contains("time") && object.contains("level")) << line;
    if (object.value("event", "") != "request_end") continue;
    ++num_ends;
    EXPECT_EQ(object["request_id"], "the-request");
    EXPECT_EQ(object["code"], "OK");
    EXPECT_EQ(object["prompt_tokens"], outcome.Prompt().num_prompt_tokens());
    EXPECT_EQ(object["output_tokens"], outcome.Finish().num_output_tokens());
    EXPECT_GE(object["request_seconds"].get<double>(), object["decode_seconds"].get<double>());
  }
  EXPECT_EQ(num_ends, 1) << log;
}

TEST(MetricsProcessTest, AreServedUntilTheLastCallHasEnded) {
  const MeasuredProcess measured =
      StartFromFile({{"shutdown_delay", "0"}, {"drain_timeout", "5m"}});
  Client client(measured.server->address());
  const auto call = client.Start(IdsRequest(SomePrompt(10), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  measured.server->Signal(SIGTERM);
  EXPECT_TRUE(
      WaitUntil([&] { return ScrapePort(measured.metrics_port).at("winnow_draining") == 1; }));
  EXPECT_EQ(ScrapePort(measured.metrics_port).at("winnow_requests_running"), 1);
  call->Cancel();
  EXPECT_EQ(measured.server->WaitForExit(), 0);
  EXPECT_FALSE(HttpGet(measured.metrics_port, "/metrics").ok());
}

TEST(MetricsProcessTest, PortInUseEndsTheServerAtOnce) {
  const MeasuredProcess measured = StartFromFile({{"shutdown_delay", "0"}});
  const Ended run =
      RunCommand(absl::StrCat(kServer, " --model=deploy/demo-model --listen=127.0.0.1:0",
                              " --metrics_port=", measured.metrics_port, " 2>&1"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr("cannot listen on 0.0.0.0:"));
}

}  // namespace
}  // namespace winnow
