// Tenant: one tenant's limits and what its Generate calls use of them. TenantLease: one call's
// share.
//
//   TenantLease lease;                                        // nobody's: no limits
//   absl::Status status = lease.Open(tenant, priority);       // counts as a concurrent request
//   status = lease.Charge(num_prompt, num_choices * max_tokens);
//   lease.KeepPrompt();                                       // the engine has the request
//   lease.CountOutput(1);                                     // per token
//   lease.Close();                                            // gives back what was not generated
//
// Tokens are charged at admission, as if every choice went to its max_tokens, because what a
// request will need is not known; what it did not generate goes back at its end. A prompt that was
// queued stays paid for.
#ifndef WINNOW_SERVER_TENANT_H_
#define WINNOW_SERVER_TENANT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/auth_file.h"
#include "server/token_bucket.h"

namespace winnow {

using Clock = std::function<absl::Time()>;

// Thread-safe.
class Tenant {
 public:
  Tenant(std::string name, const TenantLimits& limits, Clock clock);

  const std::string& name() const { return name_; }

  // New limits, for calls from now on. What is in use stays counted.
  void SetLimits(const TenantLimits& limits);

  // PERMISSION_DENIED if this RPC is not for this tenant.
  absl::Status CheckRpc(Rpc rpc) const;

  int64_t running() const;

 private:
  friend class TenantLease;

  // PERMISSION_DENIED for a priority too high, RESOURCE_EXHAUSTED for one call too many.
  absl::Status Enter(int32_t priority);
  void Leave(int64_t unused_tokens);
  // RESOURCE_EXHAUSTED, with the time when there will be enough, or for good if that is never.
  absl::Status Charge(int64_t tokens);

  const std::string name_;
  const Clock clock_;

  mutable std::mutex mu_;
  TenantLimits limits_;                // guarded by mu_, as is all that follows
  std::optional<TokenBucket> bucket_;  // if there is a limit
  int64_t running_ = 0;
};

// CountOutput may be called from any thread at any time; everything else from one at a time.
class TenantLease {
 public:
  TenantLease() = default;
  ~TenantLease() { Close(); }
  TenantLease(const TenantLease&) = delete;
  TenantLease& operator=(const TenantLease&) = delete;

  // At most once. If this fails, the lease stays nobody's. `tenant` may be null.
  absl::Status Open(std::shared_ptr<Tenant> tenant, int32_t priority);
  // At most once, after Open.
  absl::Status Charge(int64_t prompt_tokens, int64_t max_output_tokens);
  void KeepPrompt() { keep_prompt_ = true; }
  void CountOutput(int64_t tokens) { output_tokens_.fetch_add(tokens, std::memory_order_relaxed); }
  // Does nothing if there is nothing to give back (any more).
  void Close();

  const Tenant* tenant() const { return tenant_.get(); }  // null: nobody's, or closed

 private:
  std::shared_ptr<Tenant> tenant_;
  int64_t prompt_tokens_ = 0;  // charged, as is the next
  int64_t max_output_tokens_ = 0;
  bool keep_prompt_ = false;
  std::atomic<int64_t> output_tokens_{0};
};

}  // namespace winnow

#endif  // WINNOW_SERVER_TENANT_H_
