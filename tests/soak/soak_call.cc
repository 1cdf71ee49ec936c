#include "tests/soak/soak_call.h"

#include <sstream>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "google/protobuf/any.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/slice.h"
#include "kernels/check.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow::soak {
namespace {

constexpr char kMethod[] = "/winnow.v1.GenerationService/Generate";

// The subject of a status' QuotaFailure: "queue", "stream", or nothing.
std::string QuotaSubject(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::QuotaFailure failure;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&failure)) return failure.violations(0).subject();
  }
  return "";
}

// What a status means that a valid call may end with.
Ending EndingOf(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return Ending::kAnswered;
    case grpc::StatusCode::CANCELLED:
      return Ending::kCancelled;
    case grpc::StatusCode::UNAVAILABLE:
      return Ending::kVanished;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Ending::kLate;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: {
      const std::string subject = QuotaSubject(status);
      if (subject == "queue") return Ending::kQueueFull;
      return subject == "stream" ? Ending::kReadTooSlowly : Ending::kWrong;
    }
    default:
      return Ending::kWrong;
  }
}

// The queue may be full for anyone; one that interrupts its call may be too late.
bool Allows(Behaviour behaviour, Ending ending) {
  if (ending == Ending::kQueueFull) return true;
  switch (behaviour) {
    case Behaviour::kReads:
    case Behaviour::kPauses:
      return ending == Ending::kAnswered;
    case Behaviour::kCancels:
      return ending == Ending::kCancelled || ending == Ending::kAnswered;
    case Behaviour::kVanishes:
      return ending == Ending::kVanished || ending == Ending::kAnswered;
    case Behaviour::kDeadline:
      return ending == Ending::kLate;
    case Behaviour::kStopsReading:
      return ending == Ending::kReadTooSlowly || ending == Ending::kAnswered;
    case Behaviour::kMalformed:
      return false;
  }
  return false;
}

Ending Judge(const CallPlan& plan, const grpc::Status& status) {
  if (plan.behaviour == Behaviour::kMalformed) {
    return status.error_code() == plan.refusal ? Ending::kRefused : Ending::kWrong;
  }
  const Ending ending = EndingOf(status);
  return Allows(plan.behaviour, ending) ? ending : Ending::kWrong;
}

}  // namespace

const char* Name(Ending ending) {
  switch (ending) {
    case Ending::kAnswered:
      return "answered";
    case Ending::kCancelled:
      return "cancelled";
    case Ending::kVanished:
      return "vanished";
    case Ending::kLate:
      return "late";
    case Ending::kQueueFull:
      return "queue full";
    case Ending::kReadTooSlowly:
      return "too slow";
    case Ending::kRefused:
      return "refused";
    case Ending::kWrong:
      return "WRONG";
  }
  WINNOW_CHECK(false) << static_cast<int>(ending);
  return "";
}

void SoakCall::Start(const std::string& address, std::shared_ptr<grpc::Channel> channel,
                     CallPlan plan, OnEnd on_end) {
  (new SoakCall(std::move(plan), std::move(on_end)))->Begin(address, std::move(channel));
}

SoakCall::SoakCall(CallPlan plan, OnEnd on_end)
    : plan_(std::move(plan)), on_end_(std::move(on_end)), check_(plan_.request) {
  const grpc::Slice slice(plan_.bytes);
  request_ = grpc::ByteBuffer(&slice, 1);
}

void SoakCall::Begin(const std::string& address, std::shared_ptr<grpc::Channel> channel) {
  // One that stops reading must not fill a connection that others read from.
  if (plan_.behaviour == Behaviour::kVanishes || plan_.behaviour == Behaviour::kStopsReading) {
    connection_ = std::make_unique<FragileConnection>(address);
    channel = connection_->channel();
  }
  if (plan_.timeout.has_value()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + *plan_.timeout));
  }
  grpc::TemplatedGenericStub<grpc::ByteBuffer, v1::GenerateResponse> stub(std::move(channel));
  stub.PrepareBidiStreamingCall(&context_, kMethod, {}, this);
  StartWriteLast(&request_, grpc::WriteOptions());
  StartRead(&message_);
  const bool at_any_time =
      plan_.behaviour == Behaviour::kCancels || plan_.behaviour == Behaviour::kVanishes;
  if (at_any_time && !plan_.after_messages.has_value()) {
    After([this] { Interrupt(); });
  }
  StartCall();
}

void SoakCall::After(std::function<void()> action) {
  AddHold();
  alarm_.Set(absl::ToChronoTime(absl::Now() + plan_.delay),
             [this, action = std::move(action)](bool /*fired*/) {
               action();
               RemoveHold();
             });
}

void SoakCall::Interrupt() {
  if (plan_.behaviour == Behaviour::kVanishes) return connection_->Break();
  context_.TryCancel();
}

void SoakCall::OnReadDone(bool ok) {
  if (!ok) return;
  check_.Add(message_);
  if (check_.num_messages() != plan_.after_messages) return StartRead(&message_);
  if (plan_.behaviour == Behaviour::kPauses || plan_.behaviour == Behaviour::kStopsReading) {
    return After([this] { StartRead(&message_); });
  }
  Interrupt();
  StartRead(&message_);
}

void SoakCall::OnDone(const grpc::Status& status) {
  const std::unique_ptr<SoakCall> self(this);
  on_end_(Report(status));
}

CallReport SoakCall::Report(const grpc::Status& status) const {
  CallReport report;
  report.behaviour = plan_.behaviour;
  report.ending = Judge(plan_, status);
  report.num_prompt_tokens = check_.num_prompt_tokens();
  report.num_output_tokens = check_.num_output_tokens();
  std::string wrong;
  if (report.ending == Ending::kAnswered) wrong = check_.WhatIsWrong();
  if (report.ending == Ending::kQueueFull && check_.num_messages() > 0) {
    wrong = "refused after its answer had begun";
  }
  if (!wrong.empty()) report.ending = Ending::kWrong;
  if (report.ending != Ending::kWrong) return report;
  std::ostringstream text;
  text << plan_ << ": status " << status.error_code() << " " << status.error_message() << ", "
       << check_.num_messages() << " messages; " << wrong;
  report.wrong = text.str();
  return report;
}

}  // namespace winnow::soak
