// GenerateCall: one Generate stream, from its request to its status.
//
// Three parties meet here: gRPC's threads (reactions), the engine's thread (OutputSink) and the
// service's queues. The engine only adds to a buffer under `mu_`. Messages are built and written by
// one owner at a time: whoever finds the call idle takes it (TakeIfIdle) and keeps it until nothing
// is left to write; while a write is in flight, gRPC has it. So there is one write in flight,
// Finish comes exactly once, and no lock is held when gRPC is called.
//
// A call owns itself from Start to OnDone; the engine's request holds it too, as its sink, for at
// most a step longer.
#ifndef WINNOW_SERVER_GENERATE_CALL_H_
#define WINNOW_SERVER_GENERATE_CALL_H_

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "proto/winnow/v1/generation.pb.h"
#include "scheduler/request.h"
#include "server/output_buffer.h"
#include "server/response_builder.h"
#include "server/service_context.h"
#include "server/stream_facts.h"
#include "server/tenant.h"

namespace winnow {

class GenerateCall final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                           public OutputSink,
                           public std::enable_shared_from_this<GenerateCall> {
 public:
  // To be returned from the service's method. All arguments outlive the call.
  static grpc::ServerWriteReactor<v1::GenerateResponse>* Start(ServiceContext* service,
                                                               grpc::CallbackServerContext* context,
                                                               const v1::GenerateRequest* request);

  // Reactions of gRPC.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // OutputSink, on the engine's thread.
  void OnPromptComputed() override;
  void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) override;
  void OnToken(uint32_t choice, OutputToken token) override;
  void OnFinish(uint32_t choice, FinishInfo info) override;

 private:
  GenerateCall(ServiceContext* service, grpc::CallbackServerContext* context,
               const v1::GenerateRequest* request);

  // By the owner, in this order.
  void Begin();
  absl::Status Admit();
  absl::Status Validate();
  absl::Status ValidateSamplingAndStop();
  void TokenizeAndSubmit();
  void Submit();
  absl::Status CheckLength();
  absl::Status SubmitToEngine();
  void Advance();
  // Moves what the engine has produced into the builder until that has something to say. False: it
  // has not, and the call is idle from now on. REQUIRES mu_ held.
  bool Refill();
  void WriteNext();
  void End(const absl::Status& status);
  // Counts and logs it, before the client can see it.
  void RecordEnd(const absl::Status& status) const;

  bool TakeIfIdle();  // REQUIRES mu_ held
  // Lets `change` edit the buffer, then has the delivery queue write if nobody does already.
  template <typename Change>
  void AddOutput(Change change);
  // Stops the request; whoever owns the call next ends it with `status`. REQUIRES mu_ not held.
  void Abort(absl::Status status);
  absl::Status WhyCancelled() const;

  ServiceContext* const service_;
  grpc::CallbackServerContext* const context_;
  const v1::GenerateRequest* const message_in_;
  const absl::Time arrival_;
  std::shared_ptr<GenerateCall> self_;  // until OnDone

  // The owner's.
  RequestSpec spec_;  // until it is submitted
  StreamFacts facts_;
  bool taken_ = false;  // by the engine, which then counts it
  TenantLease lease_;   // until End or the last write; the engine's thread counts tokens in it
  std::optional<ResponseBuilder> builder_;  // from submission on
  v1::GenerateResponse message_out_;        // of the write in flight

  std::mutex mu_;
  OutputBuffer buffer_;                // guarded by mu_
  std::shared_ptr<Request> request_;   // guarded by mu_; null before submission and after OnDone
  std::optional<absl::Status> abort_;  // guarded by mu_
  bool owned_ = true;                  // guarded by mu_; for good once the call has ended
};

}  // namespace winnow

#endif  // WINNOW_SERVER_GENERATE_CALL_H_
