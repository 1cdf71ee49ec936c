// What a load test's run leaves behind: nothing that holds its connection. If the last to let go of
// a connection were the thread of gRPC's that brought the last answer, it would wait for itself.
#include <sched.h>

#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "client/child_server.h"
#include "client/load/load_options.h"
#include "client/load/load_target.h"
#include "client/load/random.h"
#include "client/load/request_source.h"
#include "client/load/stage_runner.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

std::unique_ptr<LoadTarget> TargetAt(const std::string& address) {
  LoadOptions options;
  options.servers = {address};
  auto target = LoadTarget::Create(options);
  EXPECT_TRUE(target.ok()) << target.status();
  return *std::move(target);
}

// Short requests; says before which one it is.
class ShortRequests final : public RequestSource {
 public:
  explicit ShortRequests(std::function<void(int64_t)> before = [](int64_t) {})
      : before_(std::move(before)) {}

  PlannedRequest Next() override {
    before_(next_);
    PlannedRequest planned;
    planned.number = next_++;
    planned.request.set_text("The old cat saw the young dog.");
    planned.request.mutable_stop()->set_max_tokens(4);
    return planned;
  }

 private:
  const std::function<void(int64_t)> before_;
  int64_t next_ = 0;
};

void SendTwo(LoadTarget* target, ShortRequests* source) {
  StageRunner runner(target, source, {}, nullptr);
  Random arrivals;
  const StageResult result = runner.Run({.level = Concurrency{2}, .num_requests = 2}, &arrivals);
  for (const CallRecord& record : result.records) EXPECT_TRUE(record.completed()) << record.message;
}

// Runs all that this process does on one core while it lives.
class OneCore {
 public:
  OneCore() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    EXPECT_EQ(sched_getaffinity(0, sizeof(before_), &before_), 0);
    EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  }
  ~OneCore() { EXPECT_EQ(sched_setaffinity(0, sizeof(before_), &before_), 0); }

 private:
  cpu_set_t before_;
};

// gRPC's threads give way to ours: so the run goes on, and its connection goes, as soon as the last
// call has ended for it, whatever gRPC's thread had still to do with that call.
TEST(LoadChannelTest, NoCallOutlivesItsRun) {
  auto server =
      ChildServer::Start("server/winnow-server",
                         {"--model=deploy/demo-model", "--shutdown_delay=0s"}, absl::Minutes(1));
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string& address = (*server)->address();
  const OneCore one_core;
  for (int i = 0; i < 50; ++i) {
    // gRPC starts its threads with the first call, and they have the priority of who makes it.
    std::unique_ptr<LoadTarget> first = TargetAt(address);
    std::thread([&] {
      const sched_param none = {};
      EXPECT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
      ShortRequests source;
      SendTwo(first.get(), &source);
    }).join();
    // They end with the last connection, which is the second one when the first goes.
    std::unique_ptr<LoadTarget> second = TargetAt(address);
    ShortRequests source([&](int64_t number) {
      if (number == 1) first.reset();
    });
    SendTwo(second.get(), &source);
    second.reset();
  }
}

}  // namespace
}  // namespace winnow::load
