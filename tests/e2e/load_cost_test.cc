// What winnow-load itself costs: CPU per received message, with 256 streams that each get a message
// in every step of a server whose model computes nothing, and its threads with 2,000 streams.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/check.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/harness.h"
#include "tests/e2e/process_stats.h"

extern char** environ;

namespace winnow {
namespace {

constexpr double kMaxCpuUsPerMessage = 30;

pid_t SpawnLoad(std::vector<std::string> flags) {
  constexpr char kLoad[] = "client/load/winnow-load";
  flags.insert(flags.begin(), {kLoad, "--quiet"});
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(flag.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  WINNOW_CHECK(posix_spawn(&pid, kLoad, nullptr, nullptr, argv.data(), environ) == 0);
  return pid;
}

int WaitForExit(pid_t pid) {
  int status = 0;
  WINNOW_CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(LoadCostTest, CpuPerMessage) {
  Options options = TestOptions();
  options.max_sequences = 256;
  TestServer server(options);
  server.model().SetStepTime(absl::Milliseconds(20));
  const std::string path = testing::TempDir() + "/cost.json";
  const pid_t pid =
      SpawnLoad({"--server=" + server.address(), "--concurrency=256", "--num_requests=768",
                 "--prompt_tokens=16", "--output_tokens=64", "--json=" + path});
  ASSERT_EQ(WaitForExit(pid), 0);
  std::ifstream file(path);
  const auto figures = nlohmann::json::parse(file);
  const double cpu_us = figures["client_cpu_us_per_message"];
  std::printf("%.1f us of CPU for each of %d messages, calls included; sent late by p99 %.2f ms\n",
              cpu_us, figures["received_messages"].get<int>(),
              figures["p99_send_lateness_ms"].get<double>());
  EXPECT_EQ(figures["completed"], 768);
  EXPECT_LE(cpu_us, kMaxCpuUsPerMessage);
}

TEST(LoadCostTest, ThreadsDoNotGrowWithStreams) {
  NumThreads threads[2];
  int i = 0;
  for (const int streams : {20, 2000}) {
    Options options = TestOptions();
    options.max_waiting = 4000;
    TestServer server(options);
    server.model().SetStepTime(absl::Milliseconds(20));
    const pid_t pid = SpawnLoad({"--server=" + server.address(), "--channels=4",
                                 "--concurrency=" + std::to_string(streams), "--num_requests=4000",
                                 "--prompt_tokens=4", "--output_tokens=1000000"});
    Client client(server.address());
    EXPECT_TRUE(WaitUntil([&] {
      const auto load = client.GetLoad();
      return static_cast<int>(load.running() + load.waiting()) == streams;
    }));
    threads[i++] = CountThreads(pid);
    kill(pid, SIGINT);
    EXPECT_EQ(WaitForExit(pid), 4) << "stopped, and said so";
    EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); })) << "all were cancelled";
  }
  std::printf("%d + %d threads with 20 streams, %d + %d with 2000\n", threads[0].others,
              threads[0].grpc_timers, threads[1].others, threads[1].grpc_timers);
  // gRPC sizes its pools by the cores (two executors of up to twice as many, pollers, the event
  // engine's) and starts their threads when they are first needed, so the two counts differ.
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  for (const NumThreads& count : threads) EXPECT_LE(count.others, 8 * cores + 16);
}

}  // namespace
}  // namespace winnow
