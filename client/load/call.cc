#include "client/load/call.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"

namespace winnow::load {

Call::Call(PlannedRequest planned, const CallSettings& settings, CallOwner* owner)
    : planned_(std::move(planned)),
      slow_delay_(settings.slow_delay),
      keep_text_(settings.keep_text),
      owner_(owner) {
  record_.number = planned_.number;
  record_.behaviour = planned_.behaviour;
  if (!settings.authorization.empty()) {
    context_.AddMetadata("authorization", settings.authorization);
  }
  if (settings.timeout.has_value()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + *settings.timeout));
  }
}

void Call::Start(v1::GenerationService::Stub* stub, int64_t scheduled_ns, bool warmup) {
  record_.warmup = warmup;
  record_.scheduled_ns = scheduled_ns;
  record_.sent_ns = NowNs();
  stub->async()->Generate(&context_, &planned_.request, this);
  // The alarm of a slow reader reads from outside a reaction.
  if (planned_.behaviour == Behaviour::kReadSlowly) AddHold();
  StartRead(&message_);
  StartCall();
}

void Call::OnReadDone(bool ok) {
  if (!ok) {
    if (planned_.behaviour == Behaviour::kReadSlowly) RemoveHold();
    return;
  }
  const int64_t now_ns = NowNs();
  ++record_.messages;
  switch (message_.event_case()) {
    case v1::GenerateResponse::kPrompt:
      record_.prompt_tokens = message_.prompt().num_prompt_tokens();
      break;
    case v1::GenerateResponse::kDelta:
      if (keep_text_) record_.text += message_.delta().text();
      if (message_.delta().num_tokens() > 0) TakeDelta(message_.delta(), now_ns);
      break;
    case v1::GenerateResponse::kFinish:
      record_.finished = true;
      break;
    default:
      break;
  }
  ReadNext();
}

void Call::TakeDelta(const v1::Delta& delta, int64_t now_ns) {
  if (!record_.first_token_ns.has_value()) {
    record_.first_token_ns = now_ns;
    record_.gaps_us.reserve(planned_.request.stop().max_tokens());
  } else {
    const int64_t gap_us = (now_ns - last_token_ns_ + 500) / 1000;
    record_.gaps_us.push_back(
        static_cast<uint32_t>(std::min<int64_t>(gap_us, std::numeric_limits<uint32_t>::max())));
  }
  last_token_ns_ = now_ns;
  record_.output_tokens += delta.num_tokens();
  if (planned_.behaviour == Behaviour::kCancel && !record_.cancelled &&
      record_.output_tokens >= planned_.cancel_after_tokens) {
    record_.cancelled = true;
    context_.TryCancel();
  }
}

void Call::ReadNext() {
  if (planned_.behaviour != Behaviour::kReadSlowly) return StartRead(&message_);
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(absl::ToChronoTime(absl::Now() + slow_delay_),
              [this](bool) { StartRead(&message_); });
}

void Call::OnDone(const grpc::Status& status) {
  record_.end_ns = NowNs();
  record_.code = static_cast<absl::StatusCode>(status.error_code());
  record_.message = absl::CEscape(status.error_message());
  owner_->OnCallDone(this);
}

}  // namespace winnow::load
