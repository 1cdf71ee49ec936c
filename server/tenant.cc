#include "server/tenant.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "server/errors.h"

namespace winnow {
namespace {

std::optional<TokenBucket> MakeBucket(const TenantLimits& limits, absl::Time now) {
  if (!limits.max_tokens_per_minute.has_value()) return std::nullopt;
  return TokenBucket(*limits.max_tokens_per_minute, now);
}

}  // namespace

Tenant::Tenant(std::string name, const TenantLimits& limits, Clock clock)
    : name_(std::move(name)),
      clock_(std::move(clock)),
      limits_(limits),
      bucket_(MakeBucket(limits, clock_())) {}

void Tenant::SetLimits(const TenantLimits& limits) {
  std::lock_guard<std::mutex> lock(mu_);
  limits_ = limits;
  if (bucket_.has_value() && limits.max_tokens_per_minute.has_value()) {
    bucket_->SetRate(*limits.max_tokens_per_minute, clock_());
  } else {
    bucket_ = MakeBucket(limits, clock_());
  }
}

absl::Status Tenant::CheckRpc(Rpc rpc) const {
  std::lock_guard<std::mutex> lock(mu_);
  if (limits_.Allows(rpc)) return absl::OkStatus();
  return RpcNotAllowed(name_, RpcName(rpc));
}

int64_t Tenant::running() const {
  std::lock_guard<std::mutex> lock(mu_);
  return running_;
}

absl::Status Tenant::Enter(int32_t priority) {
  std::lock_guard<std::mutex> lock(mu_);
  if (limits_.max_priority.has_value() && priority > *limits_.max_priority) {
    return PriorityTooHigh(name_, priority, *limits_.max_priority);
  }
  if (limits_.max_concurrent_requests.has_value() && running_ >= *limits_.max_concurrent_requests) {
    return TooManyRequests(name_, *limits_.max_concurrent_requests);
  }
  ++running_;
  return absl::OkStatus();
}

void Tenant::Leave(int64_t unused_tokens) {
  std::lock_guard<std::mutex> lock(mu_);
  WINNOW_CHECK(running_ > 0);
  --running_;
  if (bucket_.has_value()) bucket_->PutBack(unused_tokens, clock_());
}

absl::Status Tenant::Charge(int64_t tokens) {
  std::lock_guard<std::mutex> lock(mu_);
  if (!bucket_.has_value()) return absl::OkStatus();
  if (tokens > bucket_->capacity()) return NeverInQuota(name_, tokens, bucket_->capacity());
  const absl::Time now = clock_();
  const absl::Duration wait = bucket_->TimeUntil(tokens, now);
  if (wait > absl::ZeroDuration()) return OverQuota(name_, tokens, bucket_->capacity(), wait);
  bucket_->Take(tokens, now);
  return absl::OkStatus();
}

absl::Status TenantLease::Open(std::shared_ptr<Tenant> tenant, int32_t priority) {
  WINNOW_CHECK(tenant_ == nullptr);
  if (tenant == nullptr) return absl::OkStatus();
  if (absl::Status status = tenant->Enter(priority); !status.ok()) return status;
  tenant_ = std::move(tenant);
  return absl::OkStatus();
}

absl::Status TenantLease::Charge(int64_t prompt_tokens, int64_t max_output_tokens) {
  WINNOW_CHECK(prompt_tokens_ == 0 && prompt_tokens >= 0 && max_output_tokens >= 0);
  if (tenant_ == nullptr) return absl::OkStatus();
  absl::Status status = tenant_->Charge(prompt_tokens + max_output_tokens);
  if (!status.ok()) return status;
  prompt_tokens_ = prompt_tokens;
  max_output_tokens_ = max_output_tokens;
  return status;
}

void TenantLease::Close() {
  if (tenant_ == nullptr) return;
  const int64_t output = output_tokens_.load(std::memory_order_relaxed);
  const int64_t unused = std::max<int64_t>(max_output_tokens_ - output, 0);
  tenant_->Leave(unused + (keep_prompt_ ? 0 : prompt_tokens_));
  tenant_ = nullptr;
}

}  // namespace winnow
