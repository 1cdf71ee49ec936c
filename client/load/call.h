// Call: one Generate stream through gRPC's callback API, so that thousands take no thread each.
#ifndef WINNOW_CLIENT_LOAD_CALL_H_
#define WINNOW_CLIENT_LOAD_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/load/call_record.h"
#include "client/load/request_source.h"
#include "grpcpp/alarm.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow::load {

// What all calls of a run have in common.
struct CallSettings {
  std::string authorization;  // empty: none
  std::optional<absl::Duration> timeout;
  absl::Duration slow_delay = {};
  bool keep_text = false;
};

class Call;

class CallOwner {
 public:
  // All is over; the owner may destroy the call here. On one of gRPC's threads.
  virtual void OnCallDone(Call* call) = 0;

 protected:
  ~CallOwner() = default;
};

// Reads messages as they come (or slowly), cancels where that is planned, and tells its owner when
// all is over. Reactions come one after the other, on gRPC's threads.
class Call : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  Call(PlannedRequest planned, const CallSettings& settings, CallOwner* owner);

  // Once. `scheduled_ns`: when it should have been started.
  void Start(v1::GenerationService::Stub* stub, int64_t scheduled_ns, bool warmup);
  // From any thread.
  void Cancel() { context_.TryCancel(); }
  // From OnCallDone on.
  CallRecord& record() { return record_; }

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void TakeDelta(const v1::Delta& delta, int64_t now_ns);
  void ReadNext();

  const PlannedRequest planned_;
  const absl::Duration slow_delay_;
  const bool keep_text_;
  CallOwner* const owner_;
  grpc::ClientContext context_;
  v1::GenerateResponse message_;        // being read
  std::unique_ptr<grpc::Alarm> alarm_;  // of a slow reader: when it reads on
  int64_t last_token_ns_ = 0;
  CallRecord record_;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_CALL_H_
