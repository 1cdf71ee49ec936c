#include "server/tenant.h"

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/errors.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

class TenantTest : public ::testing::Test {
 protected:
  std::shared_ptr<Tenant> Make(const TenantLimits& limits) {
    return std::make_shared<Tenant>("t", limits, [this] { return now_; });
  }
  static TenantLimits PerMinute(int64_t tokens) {
    TenantLimits limits;
    limits.max_tokens_per_minute = tokens;
    return limits;
  }

  // Opens a lease, and charges it.
  static absl::Status Start(TenantLease& lease, const std::shared_ptr<Tenant>& tenant,
                            int64_t prompt, int64_t output) {
    if (absl::Status status = lease.Open(tenant, 0); !status.ok()) return status;
    return lease.Charge(prompt, output);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
};

TEST_F(TenantTest, NobodyHasNoLimits) {
  TenantLease lease;
  EXPECT_TRUE(lease.Open(nullptr, INT32_MAX).ok());
  EXPECT_TRUE(lease.Charge(INT32_MAX, INT32_MAX).ok());
  lease.KeepPrompt();
  lease.CountOutput(1);
  lease.Close();
}

TEST_F(TenantTest, RpcsAndPriorities) {
  TenantLimits limits;
  limits.max_priority = 2;
  limits.rpcs = {true, false, true, true, true};
  const auto tenant = Make(limits);
  EXPECT_TRUE(tenant->CheckRpc(Rpc::kGenerate).ok());
  const absl::Status denied = tenant->CheckRpc(Rpc::kTokenize);
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.message(), "tenant t may not call Tokenize");
  TenantLease lease;
  const absl::Status too_high = lease.Open(tenant, 3);
  EXPECT_EQ(too_high.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(too_high.message(), "tenant t may not ask for priority 3, only up to 2");
  EXPECT_EQ(tenant->running(), 0);
  EXPECT_TRUE(lease.Open(tenant, 2).ok());
  EXPECT_EQ(tenant->running(), 1);
}

TEST_F(TenantTest, ConcurrentRequests) {
  TenantLimits limits;
  limits.max_concurrent_requests = 2;
  const auto tenant = Make(limits);
  TenantLease first, third;
  {
    TenantLease second;
    ASSERT_TRUE(first.Open(tenant, 0).ok());
    ASSERT_TRUE(second.Open(tenant, 0).ok());
    const absl::Status status = third.Open(tenant, 0);
    EXPECT_EQ(status.code(), kExhausted);
    EXPECT_EQ(status.message(), "tenant t has as many requests running as it may: 2");
    EXPECT_EQ(RetryDelay(status), absl::Seconds(1));
  }
  EXPECT_TRUE(third.Open(tenant, 0).ok()) << "the second has ended";
  first.Close();
  first.Close();
  EXPECT_EQ(tenant->running(), 1) << "closing twice counts once";
}

TEST_F(TenantTest, OverQuotaSaysWhenThereWillBeEnough) {
  const auto tenant = Make(PerMinute(600));
  TenantLease first, second, third;
  ASSERT_TRUE(Start(first, tenant, 100, 400).ok());
  const absl::Status status = Start(second, tenant, 100, 50);
  EXPECT_EQ(status.code(), kExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("may use 600 tokens per minute"));
  EXPECT_EQ(RetryDelay(status), absl::Seconds(5));
  now_ += absl::Seconds(5);
  EXPECT_TRUE(Start(third, tenant, 100, 50).ok());
}

TEST_F(TenantTest, RetryDelayIsRoundedUpToMilliseconds) {
  const auto tenant = Make(PerMinute(7'000'000));
  TenantLease first, second;
  ASSERT_TRUE(Start(first, tenant, 7'000'000, 0).ok());
  EXPECT_EQ(RetryDelay(Start(second, tenant, 1, 0)), absl::Milliseconds(1));
}

TEST_F(TenantTest, MoreThanAMinutesTokensNeverFit) {
  const auto tenant = Make(PerMinute(600));
  TenantLease lease;
  const absl::Status status = Start(lease, tenant, 1, 600);
  EXPECT_EQ(status.code(), kExhausted);
  EXPECT_EQ(RetryDelay(status), std::nullopt);
  EXPECT_EQ(status.message(),
            "tenant t may use 600 tokens per minute, which this request alone, with 601 of prompt "
            "and max_tokens, would exceed");
}

TEST_F(TenantTest, WhatWasNotGeneratedGoesBack) {
  const auto tenant = Make(PerMinute(600));
  const auto left = [&] {
    // The most that can be charged now.
    for (int64_t tokens = 600; tokens >= 0; --tokens) {
      TenantLease probe;
      if (Start(probe, tenant, 0, tokens).ok()) return tokens;
    }
    return int64_t{-1};
  };
  {
    TenantLease refused;  // by the engine: nothing was computed
    ASSERT_TRUE(Start(refused, tenant, 100, 200).ok());
  }
  EXPECT_EQ(left(), 600);
  {
    TenantLease lease;
    ASSERT_TRUE(Start(lease, tenant, 100, 200).ok());
    EXPECT_EQ(left(), 300);
    lease.KeepPrompt();
    lease.CountOutput(20);
    lease.CountOutput(5);
  }
  EXPECT_EQ(left(), 475);
}

TEST_F(TenantTest, NewLimitsHoldForCallsFromNowOn) {
  TenantLimits limits = PerMinute(1000);
  const auto tenant = Make(limits);
  TenantLease running;
  ASSERT_TRUE(Start(running, tenant, 100, 500).ok());
  limits.max_tokens_per_minute = 300;
  limits.max_concurrent_requests = 1;
  tenant->SetLimits(limits);
  TenantLease second;
  EXPECT_THAT(std::string(second.Open(tenant, 0).message()), HasSubstr("as it may: 1"));
  running.Close();
  ASSERT_TRUE(second.Open(tenant, 0).ok());
  EXPECT_THAT(std::string(second.Charge(301, 0).message()), HasSubstr("300 tokens per minute"));
  tenant->SetLimits(TenantLimits());
  EXPECT_TRUE(second.Charge(INT32_MAX, 0).ok());
}

TEST_F(TenantTest, OutputMayBeCountedWhileTheLeaseCloses) {
  const auto tenant = Make(PerMinute(1'000'000));
  for (int i = 0; i < 100; ++i) {
    TenantLease lease;
    ASSERT_TRUE(Start(lease, tenant, 1, 100).ok());
    std::thread engine([&] { lease.CountOutput(1); });
    lease.Close();
    engine.join();
  }
  EXPECT_EQ(tenant->running(), 0);
}

// One tenant's calls against the plainest account of them: a level in exact parts of a token and a
// list of what each call was charged.
class RandomTenantTest : public TenantTest {
 protected:
  struct Open {
    std::unique_ptr<TenantLease> lease = std::make_unique<TenantLease>();
    int64_t prompt = 0, output = 0, generated = 0;
    bool kept = false;
  };

  static constexpr int64_t kParts = 60'000'000;  // of a token
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % n); }

  void Advance() {
    const int64_t step = Below(3'000'000);
    now_ += absl::Microseconds(step);
    parts_ = std::min<__int128>(__int128{rate_} * kParts, parts_ + __int128{rate_} * step);
  }

  void StartOne() {
    Open open;
    const bool free = static_cast<int64_t>(open_.size()) < max_running_;
    ASSERT_EQ(open.lease->Open(tenant_, 0).ok(), free);
    if (!free) return;
    open_.push_back(std::move(open));
    Open& mine = open_.back();
    const int64_t prompt = 1 + Below(300), output = Below(900);
    const absl::Status status = mine.lease->Charge(prompt, output);
    const __int128 needed = __int128{prompt + output} * kParts;
    ASSERT_EQ(status.ok(), needed <= parts_) << status;
    if (!status.ok()) {
      ASSERT_EQ(RetryDelay(status).has_value(), prompt + output <= rate_);
      return CloseOne(open_.size() - 1);
    }
    parts_ -= needed;
    mine.prompt = prompt;
    mine.output = output;
    if ((mine.kept = Below(2) == 0)) mine.lease->KeepPrompt();
  }

  void Generate() {
    if (open_.empty()) return;
    Open& open = open_[Below(open_.size())];
    if (open.generated == open.output) return;
    const int64_t tokens = 1 + Below(open.output - open.generated);
    open.lease->CountOutput(tokens);
    open.generated += tokens;
  }

  void CloseOne(size_t i) {
    const Open& open = open_[i];
    const int64_t back = open.output - open.generated + (open.kept ? 0 : open.prompt);
    open_[i].lease->Close();
    parts_ = std::min<__int128>(__int128{rate_} * kParts, parts_ + __int128{back} * kParts);
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  void ChangeLimits() {
    rate_ = 200 + Below(2000);
    max_running_ = 1 + Below(6);
    TenantLimits limits = PerMinute(rate_);
    limits.max_concurrent_requests = max_running_;
    tenant_->SetLimits(limits);
    parts_ = std::min<__int128>(parts_, __int128{rate_} * kParts);
  }

  std::mt19937_64 random_{7};
  int64_t rate_ = 1000, max_running_ = INT64_MAX;
  __int128 parts_ = __int128{1000} * kParts;
  std::vector<Open> open_;
  std::shared_ptr<Tenant> tenant_ = Make(PerMinute(1000));
};

TEST_F(RandomTenantTest, AgreesWithTheNaiveAccount) {
  for (int i = 0; i < 20'000; ++i) {
    Advance();
    const int64_t what = Below(20);
    if (what < 8) {
      StartOne();
    } else if (what < 13) {
      Generate();
    } else if (what < 19) {
      if (!open_.empty()) CloseOne(Below(open_.size()));
    } else {
      ChangeLimits();
    }
    ASSERT_EQ(tenant_->running(), static_cast<int64_t>(open_.size())) << i;
    if (HasFatalFailure()) FAIL() << "at step " << i;
  }
  while (!open_.empty()) CloseOne(0);
  EXPECT_EQ(tenant_->running(), 0);
}

}  // namespace
}  // namespace winnow
