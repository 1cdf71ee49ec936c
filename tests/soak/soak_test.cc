// A quarter of an hour of mixed traffic on the demo model, served by the real process: every call
// ends as it may, and afterwards the process holds nothing more than before.
//
// WINNOW_SOAK_SECONDS and WINNOW_SOAK_SEED set the duration and the seed, for development; only
// runs of full length must have seen everything and are held to the bound on memory. Under
// ThreadSanitizer a minute is enough: races show early, and memory means nothing there.
// LeakSanitizer speaks through the exit code.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/child_server.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/process_stats.h"
#include "tests/soak/traffic.h"

namespace winnow::soak {
namespace {

#if defined(WINNOW_TSAN)
constexpr uint64_t kDefaultSeconds = 60;
#else
constexpr uint64_t kDefaultSeconds = 900;
#endif
constexpr absl::Duration kFullLength = absl::Minutes(15);
constexpr absl::Duration kLeastWarmUp = absl::Seconds(30);  // or a third of a shorter run
constexpr double kMaxGrowth = 0.02;  // over the last 10 of 15 minutes
// Enough that the queue, half as long, is full at times.
constexpr int kMaxInFlight = kSanitized ? 24 : 48;
constexpr int kSamples = 90;  // every 10 s of a full run

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  uint64_t value = 0;
  WINNOW_CHECK(absl::SimpleAtoi(text, &value)) << name << "=" << text;
  return value;
}

std::unique_ptr<ChildServer> StartServer() {
  auto server =
      ChildServer::Start("server/winnow-server",
                         {"--model=deploy/demo-model", "--state_memory=24MiB", "--threads=2",
                          "--max_sequences=48", absl::StrCat("--max_waiting=", kMaxInFlight / 2),
                          absl::StrCat("--stream_buffer_tokens=", kMostOutputTokens),
                          "--shutdown_delay=0", "--log_level=warn"},
                         absl::Seconds(60));
  WINNOW_CHECK(server.ok()) << server.status();
  return *std::move(server);
}

struct Sample {
  absl::Duration age;  // since the start of the traffic
  int64_t resident_bytes = 0;
  NumThreads threads;
  int files = 0;
};

double MiB(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

class SoakTest : public ::testing::Test {
 protected:
  SoakTest()
      : duration_(absl::Seconds(FromEnvironment("WINNOW_SOAK_SECONDS", kDefaultSeconds))),
        seed_(FromEnvironment("WINNOW_SOAK_SEED", std::random_device()())),
        server_(StartServer()),
        client_(server_->address()) {
    std::printf("%s of traffic, WINNOW_SOAK_SEED=%llu\n", absl::FormatDuration(duration_).c_str(),
                static_cast<unsigned long long>(seed_));
  }

  Sample Look(absl::Time start) const {
    return {.age = absl::Now() - start,
            .resident_bytes = ResidentBytes(server_->pid()),
            .threads = CountThreads(server_->pid()),
            .files = CountOpenFiles(server_->pid())};
  }

  // Uses the connections and the calls that are not Generate, so that whatever they start is there:
  // gRPC's pools begin further threads only when all they have are busy.
  void WarmUp(Traffic* traffic) {
    traffic->Pump(absl::Now() + std::max(duration_ / 15, std::min(duration_ / 3, kLeastWarmUp)));
    traffic->Drain();
    AskOtherMethods();
    EXPECT_TRUE(WaitUntil([&] { return IsIdle(client_.GetLoad()); }));
  }

  void AskOtherMethods() {
    v1::TokenizeRequest tokenize;
    tokenize.set_text("The code of the amber falcon is 42.");
    v1::TokenizeResponse tokens;
    EXPECT_EQ(client_.Tokenize(tokenize, &tokens).code, absl::StatusCode::kOk);
    v1::DetokenizeRequest detokenize;
    *detokenize.mutable_ids() = tokens.ids();
    v1::DetokenizeResponse text;
    EXPECT_EQ(client_.Detokenize(detokenize, &text).code, absl::StatusCode::kOk);
    EXPECT_EQ(text.text(), tokenize.text());
    v1::GetModelInfoResponse info;
    EXPECT_EQ(client_.GetModelInfo({}, &info).code, absl::StatusCode::kOk);
  }

  void Soak(Traffic* traffic) {
    const absl::Time start = absl::Now();
    for (int i = 1; i <= kSamples; ++i) {
      traffic->Pump(start + duration_ * i / kSamples);
      samples_.push_back(Look(start));
      AskOtherMethods();
      if (i % (kSamples / 15) == 0) PrintProgress(traffic->tally(), samples_.back());
    }
  }

  static void PrintProgress(const Tally& tally, const Sample& sample) {
    std::printf("%6.0f s: %lld calls", absl::ToDoubleSeconds(sample.age),
                static_cast<long long>(tally.Total()));
    for (int e = 0; e < kNumEndings; ++e) {
      const auto ending = static_cast<Ending>(e);
      std::printf(", %lld %s", static_cast<long long>(tally.Num(ending)), Name(ending));
    }
    std::printf("; %.1f MiB, %d + %d threads, %d files\n", MiB(sample.resident_bytes),
                sample.threads.others, sample.threads.grpc_timers, sample.files);
    std::fflush(stdout);
  }

  // Of the samples from part `from` to part `to` of the run.
  int64_t MedianBytes(double from, double to) const {
    std::vector<int64_t> bytes;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const double part = (i + 1) / static_cast<double>(samples_.size());
      if (part > from && part <= to) bytes.push_back(samples_[i].resident_bytes);
    }
    std::sort(bytes.begin(), bytes.end());
    return bytes[bytes.size() / 2];
  }

  // From the first minute after the fifth to the last minute, or these parts of another length.
  double Growth() const {
    return static_cast<double>(MedianBytes(14.0 / 15, 1)) / MedianBytes(5.0 / 15, 6.0 / 15) - 1;
  }

  void PrintTable(const Tally& tally, const Sample& before, const Sample& after) const;

  const absl::Duration duration_;
  const uint64_t seed_;
  const std::unique_ptr<ChildServer> server_;
  Client client_;
  std::vector<Sample> samples_;  // evenly spread over the time of the traffic
};

void SoakTest::PrintTable(const Tally& tally, const Sample& before, const Sample& after) const {
  std::printf("\n%-14s", "");
  for (int e = 0; e < kNumEndings; ++e) std::printf("%11s", Name(static_cast<Ending>(e)));
  for (int b = 0; b < kNumBehaviours; ++b) {
    std::printf("\n%-14s", Name(static_cast<Behaviour>(b)));
    for (const int64_t num : tally.calls[b]) std::printf("%11lld", static_cast<long long>(num));
  }
  std::printf("\nprompt tokens %llu, output tokens %llu (of answers received)\n",
              static_cast<unsigned long long>(tally.num_prompt_tokens),
              static_cast<unsigned long long>(tally.num_output_tokens));
  std::printf(
      "resident MiB: %.1f warm and idle, medians %.1f after a third, %.1f at the end "
      "(%+.2f%%), %.1f idle\n",
      MiB(before.resident_bytes), MiB(MedianBytes(5.0 / 15, 6.0 / 15)),
      MiB(MedianBytes(14.0 / 15, 1)), 100 * Growth(), MiB(after.resident_bytes));
  std::printf("threads: %d + %d of gRPC's timers, then %d + %d; files: %d, then %d\n\n",
              before.threads.others, before.threads.grpc_timers, after.threads.others,
              after.threads.grpc_timers, before.files, after.files);
}

void ExpectEverythingSeen(const Tally& tally) {
  for (int b = 0; b < kNumBehaviours; ++b) {
    EXPECT_GT(tally.Num(static_cast<Behaviour>(b)), 0) << Name(static_cast<Behaviour>(b));
  }
  for (int e = 0; e < kNumEndings; ++e) {
    const auto ending = static_cast<Ending>(e);
    if (ending == Ending::kWrong) continue;
    EXPECT_GT(tally.Num(ending), 0) << Name(ending);
  }
}

TEST_F(SoakTest, NothingGrowsAndEveryCallEndsAsItMay) {
  Traffic traffic(server_->address(), seed_, kMaxInFlight);
  WarmUp(&traffic);
  const Sample before = Look(absl::Now());
  Soak(&traffic);
  traffic.Drain();
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client_.GetLoad()); }))
      << client_.GetLoad().ShortDebugString();
  EXPECT_TRUE(WaitUntil([&] { return CountOpenFiles(server_->pid()) <= before.files; }));
  EXPECT_TRUE(
      WaitUntil([&] { return CountThreads(server_->pid()).others <= before.threads.others; }));
  const Sample after = Look(absl::Now());
  const Tally tally = traffic.tally();
  PrintTable(tally, before, after);

  for (const std::string& wrong : tally.wrong) ADD_FAILURE() << wrong;
  EXPECT_EQ(tally.Num(Ending::kWrong), 0);
  if (duration_ >= kFullLength) ExpectEverythingSeen(tally);
  if (duration_ >= kFullLength && !kSanitized) {
    EXPECT_LT(Growth(), kMaxGrowth);
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit(), 0) << server_->LogTail();
}

}  // namespace
}  // namespace winnow::soak
