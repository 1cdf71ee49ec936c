// 2,000 Generate streams at once on the demo model, whose clients do not read: the server has as
// many threads as with 20, little memory for each, and gets all of it back.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "client/child_server.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/process_stats.h"

namespace winnow {
namespace {

constexpr int kFew = 20, kMany = 2000, kConnections = 20;
constexpr uint32_t kForever = 1'000'000'000;
// A thread of its own, or a buffer that is sized for the worst case, would cost a stream more.
constexpr int64_t kMaxBytesPerStream = 256 << 10;

struct State {
  NumThreads threads;
  int64_t resident_bytes = 0;
  int64_t state_bytes = 0;  // of the slots and pages in use
};

class ManyStreamsTest : public ::testing::Test {
 protected:
  // `max_sequences` streams run, the others wait.
  void Start(int max_sequences) {
    auto server = ChildServer::Start(
        "server/winnow-server",
        {"--model=deploy/demo-model", "--threads=2", "--state_memory=8GiB", "--max_step_tokens=64",
         "--max_sequences=" + std::to_string(max_sequences), "--max_waiting=2000",
         "--shutdown_delay=0", "--log_level=warn"},
        absl::Seconds(60));
    WINNOW_CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    for (int i = 0; i < kConnections; ++i) {
      clients_.push_back(std::make_unique<Client>(server_->address()));
    }
    v1::GetModelInfoResponse info;
    ASSERT_EQ(clients_[0]->GetModelInfo({}, &info).code, absl::StatusCode::kOk);
    ASSERT_GE(info.max_concurrent_sequences(), max_sequences) << "--state_memory is too small";
    slot_bytes_ = info.slot_bytes_per_sequence();
    page_bytes_ = info.page_bytes();
    max_running_ = max_sequences;
  }

  // Until there are `num` streams, of which as many run as may; from those one message is read.
  State Open(int num) {
    const int num_before = static_cast<int>(calls_.size());
    while (static_cast<int>(calls_.size()) < num) {
      v1::GenerateRequest request = IdsRequest(SomePrompt(4, calls_.size()), kForever);
      request.mutable_output()->set_skip_text(true);
      request.mutable_output()->set_token_ids(false);
      calls_.push_back(clients_[calls_.size() % clients_.size()]->Start(request));
    }
    v1::GenerateResponse message;
    for (int i = num_before; i < std::min(num, max_running_); ++i) {
      EXPECT_TRUE(calls_[i]->Read(&message)) << i;
    }
    EXPECT_TRUE(WaitUntil([&] {
      const auto load = clients_[0]->GetLoad();
      return static_cast<int>(load.running()) == std::min(num, max_running_) &&
             static_cast<int>(load.waiting()) == std::max(0, num - max_running_);
    }));
    return Look();
  }

  State Look() {
    const auto load = clients_[0]->GetLoad();
    return {.threads = CountThreads(server_->pid()),
            .resident_bytes = ResidentBytes(server_->pid()),
            .state_bytes = static_cast<int64_t>(load.slots_used() * slot_bytes_ +
                                                load.pages_used() * page_bytes_)};
  }

  void Compare(const State& few, const State& many) {
    const int64_t grown = many.resident_bytes - few.resident_bytes;
    const int64_t state = many.state_bytes - few.state_bytes;
    const double per_stream = static_cast<double>(grown - state) / (kMany - kFew);
    std::printf(
        "%d streams, %d of them running: %d + %d threads (%d + %d with %d); resident "
        "%.1f MiB more, %.1f of it state; per stream %.1f KiB beyond the state\n",
        kMany, std::min(kMany, max_running_), many.threads.others, many.threads.grpc_timers,
        few.threads.others, few.threads.grpc_timers, kFew, grown / 1048576.0, state / 1048576.0,
        per_stream / 1024);
    EXPECT_LE(many.threads.others, few.threads.others);
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    EXPECT_LE(many.threads.grpc_timers, cores + 1) << "one waits, the others each run a timer";
    EXPECT_LT(per_stream, kMaxBytesPerStream);
  }

  void CancelAll() {
    for (const auto& call : calls_) call->Cancel();
    calls_.clear();
    EXPECT_TRUE(WaitUntil([&] { return IsIdle(clients_[0]->GetLoad()); }))
        << clients_[0]->GetLoad().ShortDebugString();
  }

  int max_running_ = 0;
  int64_t slot_bytes_ = 0, page_bytes_ = 0;
  std::unique_ptr<ChildServer> server_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Call>> calls_;
};

TEST_F(ManyStreamsTest, AllRunning) {
  Start(kMany);
  const State few = Open(kFew);
  Compare(few, Open(kMany));
  CancelAll();
  EXPECT_EQ(clients_[0]->Generate(IdsRequest(SomePrompt(9), 5)).code, absl::StatusCode::kOk);
}

TEST_F(ManyStreamsTest, MostWaiting) {
  Start(kFew);
  const State few = Open(kFew);
  Compare(few, Open(kMany));
  CancelAll();
  EXPECT_EQ(clients_[0]->Generate(IdsRequest(SomePrompt(9), 5)).code, absl::StatusCode::kOk);
}

}  // namespace
}  // namespace winnow
