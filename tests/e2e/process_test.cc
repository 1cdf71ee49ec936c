// winnow-server and winnow-client as processes: signals, exit codes, clients that are killed,
// threads.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/child_server.h"
#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "nlohmann/json.hpp"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/process_stats.h"
#include "tests/e2e/programs.h"

extern char** environ;

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kServer[] = "server/winnow-server";
constexpr char kClient[] = "client/winnow-client";
constexpr uint32_t kForever = 1'000'000'000;

std::unique_ptr<ChildServer> StartServer(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"--model=deploy/demo-model", "--state_memory=64MiB"});
  auto server = ChildServer::Start(kServer, flags, absl::Seconds(60));
  WINNOW_CHECK(server.ok()) << server.status();
  return *std::move(server);
}

Ended RunClient(const std::string& address, const std::string& flags) {
  return RunCommand(absl::StrCat(kClient, " --server=", address, " ", flags, " </dev/null 2>&1"));
}

pid_t SpawnClient(const std::string& address, std::vector<std::string> flags) {
  flags.insert(flags.begin(), {kClient, "--server=" + address, "--quiet"});
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(flag.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  WINNOW_CHECK(posix_spawn(&pid, kClient, &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

int WaitForExit(pid_t pid) {
  int status = 0;
  WINNOW_CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(SignalTest, TakesCallsForTheDelayThenRefusesThenFinishesWhatRuns) {
  const auto server = StartServer({"--shutdown_delay=1s", "--drain_timeout=5m"});
  Client client(server->address());
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(10), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(running->Read(&message));
  auto health = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto watch = health->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse status;
  ASSERT_TRUE(watch->Read(&status));
  EXPECT_EQ(status.status(), grpc::health::v1::HealthCheckResponse::SERVING);

  server->Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&status));
  EXPECT_EQ(status.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(10), 2)).code, absl::StatusCode::kOk)
      << "within the delay";
  EXPECT_TRUE(WaitUntil([&] {
    EXPECT_TRUE(running->Read(&message));  // keeps up with the stream
    return client.Generate(IdsRequest(SomePrompt(10), 2)).code == absl::StatusCode::kUnavailable;
  }));
  EXPECT_TRUE(running->Read(&message)) << "still running";
  running->Cancel();
  running->Finish();
  context.TryCancel();
  EXPECT_EQ(server->WaitForExit(), 0);
}

TEST(SignalTest, RunningCallEndsWhole) {
  const auto server = StartServer({"--shutdown_delay=0", "--drain_timeout=5m"});
  Client client(server->address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(10), 500));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  server->Signal(SIGINT);
  const Outcome outcome = call->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome.message;
  EXPECT_EQ(outcome.Finish().num_output_tokens(), 500u);
  EXPECT_EQ(outcome.TokenIds().size(), 500u);
  EXPECT_EQ(server->WaitForExit(), 0);
}

TEST(SignalTest, DrainTimeoutEndsWhatStillRuns) {
  const auto server = StartServer({"--shutdown_delay=0", "--drain_timeout=100ms"});
  Client client(server->address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(10), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  server->Signal(SIGTERM);
  const Outcome outcome = call->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kUnavailable) << outcome.message;
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_EQ(server->WaitForExit(), 0);
}

TEST(SignalTest, SecondSignalEndsAtOnce) {
  for (const char* delay : {"--shutdown_delay=1h", "--shutdown_delay=0"}) {
    const auto server = StartServer({delay, "--drain_timeout=1h"});
    Client client(server->address());
    std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(10), kForever));
    v1::GenerateResponse message;
    ASSERT_TRUE(call->Read(&message));
    server->Signal(SIGTERM);
    ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().draining(); }));
    server->Signal(SIGTERM);
    EXPECT_EQ(call->Finish().code, absl::StatusCode::kUnavailable);
    EXPECT_EQ(server->WaitForExit(), 0);
  }
}

TEST(ClientProcessTest, KilledClientLeavesNothing) {
  const auto server = StartServer({"--shutdown_delay=0"});
  Client client(server->address());
  const pid_t pid =
      SpawnClient(server->address(), {"--max_tokens=1000000000", "--ignore_eos", "a"});
  EXPECT_TRUE(WaitUntil([&] { return client.GetLoad().running() == 1; }));
  kill(pid, SIGKILL);
  WaitForExit(pid);
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(ClientProcessTest, InterruptCancelsTheCall) {
  const auto server = StartServer({"--shutdown_delay=0"});
  Client client(server->address());
  const pid_t pid =
      SpawnClient(server->address(), {"--max_tokens=1000000000", "--ignore_eos", "a"});
  EXPECT_TRUE(WaitUntil([&] { return client.GetLoad().running() == 1; }));
  kill(pid, SIGINT);
  EXPECT_EQ(WaitForExit(pid), kExitStopped);
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(ClientProcessTest, ExitCodesSayWhatHappened) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string& address = server->address();
  EXPECT_EQ(RunClient(address, "--max_tokens=3 hello").exit_code, kExitOk);
  EXPECT_EQ(RunClient(address, "--no_such_flag hello").exit_code, kExitUsage);
  EXPECT_EQ(RunClient(address, "--file=/no/such/file").exit_code, kExitUsage);
  const Ended refused = RunClient(address, "--top_p=2 hello");
  EXPECT_EQ(refused.exit_code, kExitRefused);
  EXPECT_THAT(refused.output, HasSubstr("INVALID_ARGUMENT: sampling.top_p"));
  EXPECT_EQ(RunClient(address, "--model=other hello").exit_code, kExitRefused);
  EXPECT_EQ(RunClient(address, "--timeout=100ms --max_tokens=1000000000 --ignore_eos a").exit_code,
            kExitStopped);
  EXPECT_EQ(RunClient("127.0.0.1:1", "hello").exit_code, kExitTryLater);
}

TEST(ClientProcessTest, PrintsTextJsonInfoAndLoad) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string& address = server->address();
  const std::string ask = "--temperature=0 --max_tokens=7 --quiet 'The code of the nimble cloud'";
  const Ended text = RunClient(address, ask);
  EXPECT_EQ(text.exit_code, 0) << text.output;
  const auto json = nlohmann::json::parse(RunClient(address, ask + " --json").output);
  EXPECT_EQ(json["text"].get<std::string>() + "\n", text.output);
  EXPECT_EQ(json["finish"]["num_output_tokens"], 7);
  EXPECT_EQ(nlohmann::json::parse(RunClient(address, "--info").output)["name"], "demo-model");
  EXPECT_EQ(nlohmann::json::parse(RunClient(address, "--load").output)["running"], 0);
  const Ended piped = RunCommand(absl::StrCat("printf 'The code of the nimble cloud\\n' | ",
                                              kClient, " --server=", address,
                                              " --temperature=0 --max_tokens=7 --quiet 2>&1"));
  EXPECT_EQ(piped.output, text.output);
}

TEST(ClientProcessTest, ShowsSeveralChoicesAsAskedForAlone) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string& address = server->address();
  const std::string ask = "--temperature=1 --max_tokens=9 --quiet --min_tokens=2 --min_p=0.01 ";
  const std::string prompt = " 'The code of the nimble cloud'";
  const auto json =
      nlohmann::json::parse(RunClient(address, ask + "--n=3 --seed=5 --json" + prompt).output);
  ASSERT_EQ(json["choices"].size(), 3u);
  std::string whole;
  for (const auto& choice : json["choices"]) {
    const std::string seed = absl::StrCat(choice["seed"].get<uint64_t>());
    const Ended alone = RunClient(address, absl::StrCat(ask, "--seed=", seed, prompt));
    EXPECT_EQ(alone.output, choice["text"].get<std::string>() + "\n");
    absl::StrAppend(&whole, "--- choice ", choice["choice"].get<int>(), " (seed ", seed, ", ",
                    choice["finish"]["reason"].get<std::string>(), ") ---\n", alone.output);
  }
  EXPECT_EQ(RunClient(address, ask + "--n=3 --seed=5" + prompt).output, whole);
}

TEST(ClientProcessTest, StopsAtTextAndBiasesTokens) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string& address = server->address();
  const std::string ask = "--temperature=0 --max_tokens=7 --quiet --json --token_ids --ignore_eos ";
  const std::string prompt = " 'The code of the nimble cloud'";
  const auto greedy = nlohmann::json::parse(RunClient(address, ask + prompt).output);
  const std::string text = greedy["text"];
  const std::string stop = text.substr(1, 2);
  const auto stopped =
      nlohmann::json::parse(RunClient(address, ask + "--stop '" + stop + "'" + prompt).output);
  EXPECT_EQ(stopped["finish"]["stop_text"], stop);
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop)));

  const uint32_t first = greedy["token_ids"][0];
  const auto biased = nlohmann::json::parse(
      RunClient(address, absl::StrCat(ask, "--logit_bias=", first, ":-1000", prompt)).output);
  EXPECT_NE(biased["token_ids"][0], first);

  const Ended refused = RunClient(address, "--n=100 hello");
  EXPECT_EQ(refused.exit_code, kExitRefused);
  EXPECT_THAT(refused.output, HasSubstr("sampling.n is 100; it must be from 1 to "));
}

TEST(ClientProcessTest, TokenizesAndDetokenizes) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string& address = server->address();
  const std::string text = "The code of the nimble cloud";
  Ended ids = RunClient(address, absl::StrCat("--tokenize '", text, "'"));
  ASSERT_EQ(ids.exit_code, kExitOk) << ids.output;
  ASSERT_EQ(ids.output.back(), '\n');
  ids.output.pop_back();
  const std::string detokenize = absl::StrCat("--detokenize --prompt_ids=", ids.output);
  EXPECT_EQ(RunClient(address, detokenize).output, text + "\n");
  EXPECT_EQ(nlohmann::json::parse(RunClient(address, detokenize + " --json").output)["text"], text);
  const auto json = nlohmann::json::parse(
      RunClient(address, absl::StrCat("--tokenize --json '", text, "'")).output);
  EXPECT_EQ(absl::StrJoin(json["ids"].get<std::vector<uint32_t>>(), ","), ids.output);
  EXPECT_EQ(RunClient(address, "--detokenize --prompt_ids=4000000000").exit_code, kExitRefused);
}

TEST(ServerProcessTest, ThreadsDoNotGrowWithStreams) {
  const auto server = StartServer({"--shutdown_delay=0", "--max_waiting=2000"});
  Client client(server->address());
  std::vector<std::unique_ptr<Call>> calls;
  const auto open = [&](int num) {
    while (static_cast<int>(calls.size()) < num) {
      calls.push_back(client.Start(IdsRequest(SomePrompt(10), kForever)));
    }
    EXPECT_TRUE(WaitUntil([&] {
      const auto load = client.GetLoad();
      return static_cast<int>(load.running() + load.waiting()) == num;
    }));
    return CountThreads(server->pid());
  };
  const NumThreads few = open(20);
  const NumThreads many = open(400);
  EXPECT_GT(few.others, 0);
  EXPECT_LE(many.others, few.others) << "threads with 400 streams, and with 20";
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  EXPECT_LE(many.grpc_timers, cores + 1) << "one that waits, the others each running a timer";
  for (const auto& call : calls) call->Cancel();
  calls.clear();
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(ServerProcessTest, CannotStart) {
  const auto server = StartServer({"--shutdown_delay=0"});
  const std::string broken = absl::StrCat(testing::TempDir(), "/broken");
  std::filesystem::create_directory(broken);
  std::ofstream(broken + "/config.json") << "{\"model_type\": \"llama\"}";
  const struct {
    std::string flags, message;
  } cases[] = {
      {"--model=/no/such/model", "/no/such/model/config.json"},
      {"--model=" + broken, "model_type"},
      {"--model=deploy/demo-model --state_memory=100KiB", "--state_memory is too small"},
      {"--model=deploy/demo-model --page_tokens=0", "--page_tokens=0"},
      {"--model=deploy/demo-model --listen=" + server->address(), "cannot listen on"},
  };
  for (const auto& c : cases) {
    const Ended run =
        RunCommand(absl::StrCat(kServer, " --log_level=off ", c.flags, " 2>&1 </dev/null"));
    EXPECT_EQ(run.exit_code, 1) << c.flags;
    EXPECT_THAT(run.output, HasSubstr(c.message));
    EXPECT_THAT(run.output, Not(HasSubstr("listening on "))) << c.flags;
  }
}

}  // namespace
}  // namespace winnow
