#include "server/generate_call.h"

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/check.h"
#include "server/authorize.h"
#include "server/errors.h"
#include "server/grpc_status.h"
#include "server/random_ids.h"
#include "server/request_log.h"
#include "server/stop_text_matcher.h"
#include "server/validate.h"

namespace winnow {
namespace {

absl::Time Deadline(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

// What the engine refuses, in the service's terms.
absl::Status ForClient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return InvalidField("prompt", absl::StripPrefix(status.message(), "prompt "));
    case absl::StatusCode::kResourceExhausted:
      return QueueFull(status.message());
    case absl::StatusCode::kUnavailable:
      return Draining();
    default:
      return status;
  }
}

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* GenerateCall::Start(
    ServiceContext* service, grpc::CallbackServerContext* context,
    const v1::GenerateRequest* request) {
  std::shared_ptr<GenerateCall> call(new GenerateCall(service, context, request));
  call->self_ = call;
  service->streams.Add();
  call->Begin();
  return call.get();  // OnDone does not come before gRPC has it
}

GenerateCall::GenerateCall(ServiceContext* service, grpc::CallbackServerContext* context,
                           const v1::GenerateRequest* request)
    : service_(service),
      context_(context),
      message_in_(request),
      arrival_(absl::Now()),
      buffer_(service->stream_buffer_tokens) {}

void GenerateCall::Begin() {
  spec_.arrival = arrival_;
  spec_.deadline = Deadline(*context_);
  const std::string& id = message_in_->request_id();
  spec_.id = id.empty() || !ValidateRequestId(id).ok() ? RandomRequestId() : id;
  facts_.request_id = spec_.id;
  if (absl::Status status = Admit(); !status.ok()) return End(status);
  if (service_->log_requests) LogPrompt(spec_.id, *message_in_);
  if (absl::Status status = Validate(); !status.ok()) return End(status);
  if (message_in_->has_token_ids()) {
    const auto& ids = message_in_->token_ids().ids();
    spec_.prompt.assign(ids.begin(), ids.end());
    return Submit();
  }
  // Tokenizing takes a second for some ten MiB: too long for gRPC's threads.
  if (!service_->text_queue->TryPost([self = shared_from_this()] { self->TokenizeAndSubmit(); },
                                     service_->max_waiting_texts)) {
    End(QueueFull(absl::StrCat(service_->max_waiting_texts, " texts wait to be tokenized")));
  }
}

absl::Status GenerateCall::Admit() {
  auto tenant = Authorize(service_->access, *context_, Rpc::kGenerate);
  if (!tenant.ok()) return tenant.status();
  return lease_.Open(*std::move(tenant), message_in_->priority());
}

absl::Status GenerateCall::Validate() {
  const RequestLimits& limits = service_->limits;
  for (const absl::Status& status :
       {ValidateKnownFields(*message_in_), ValidateRequestId(message_in_->request_id()),
        ValidateModel(message_in_->model(), limits), ValidatePriority(message_in_->priority()),
        ValidatePrompt(*message_in_, limits)}) {
    if (!status.ok()) return status;
  }
  auto output = ValidateOutput(message_in_->output(), limits);
  if (!output.ok()) return output.status();
  spec_.logprobs = output->logprobs;
  spec_.prompt_logprobs = output->prompt_logprobs;
  spec_.priority = message_in_->priority();
  facts_.output = *output;
  return ValidateSamplingAndStop();
}

absl::Status GenerateCall::ValidateSamplingAndStop() {
  const RequestLimits& limits = service_->limits;
  auto sampling = ValidateSampling(message_in_->sampling(), RandomSeed());
  if (!sampling.ok()) return sampling.status();
  auto logit_bias = ValidateLogitBias(message_in_->sampling(), limits);
  if (!logit_bias.ok()) return logit_bias.status();
  const auto num_choices = ValidateChoices(message_in_->sampling(), limits);
  if (!num_choices.ok()) return num_choices.status();
  auto stop = ValidateStop(message_in_->stop(), limits);
  if (!stop.ok()) return stop.status();

  spec_.sampling = *sampling;
  spec_.logit_bias = *std::move(logit_bias);
  spec_.num_choices = *num_choices;
  spec_.max_tokens = stop->max_tokens;
  spec_.min_tokens = stop->min_tokens;
  spec_.stop_token_ids = std::move(stop->stop_token_ids);
  facts_.text_rules = {.include_special_tokens = facts_.output.include_special_tokens,
                       .include_stop_text = stop->include_stop_text,
                       .min_tokens = stop->min_tokens,
                       .stop_token_ids = spec_.stop_token_ids};
  facts_.stops = std::make_shared<const StopStrings>(std::move(stop->stop_texts));
  if (!facts_.stops->empty()) {
    spec_.make_stop_matcher = [tokenizer = service_->tokenizer, stops = facts_.stops,
                               special = facts_.output.include_special_tokens] {
      return std::make_unique<StopTextMatcher>(tokenizer, stops, special);
    };
  }
  return absl::OkStatus();
}

void GenerateCall::TokenizeAndSubmit() {
  auto ids = service_->tokenizer->Encode(message_in_->text(), /*add_special_tokens=*/true);
  if (!ids.ok()) return End(InvalidField("text", ids.status().message()));
  if (ids->empty()) return End(InvalidField("text", "has no tokens"));
  spec_.prompt = *std::move(ids);
  Submit();
}

void GenerateCall::Submit() {
  absl::Status status = CheckLength();
  if (status.ok()) status = SubmitToEngine();
  if (!status.ok()) return End(status);
  Advance();
}

absl::Status GenerateCall::CheckLength() {
  const int64_t num_prompt = static_cast<int64_t>(spec_.prompt.size());
  const absl::StatusOr<uint32_t> max_tokens =
      ValidateLength(num_prompt, spec_.max_tokens, facts_.output, service_->limits);
  if (!max_tokens.ok()) return max_tokens.status();
  spec_.max_tokens = *max_tokens;
  absl::Status fits =
      ForClient(service_->engine->CheckFits(num_prompt, *max_tokens, spec_.num_choices));
  if (!fits.ok()) return fits;
  return lease_.Charge(num_prompt, int64_t{spec_.num_choices} * *max_tokens);
}

absl::Status GenerateCall::SubmitToEngine() {
  facts_.model = service_->limits.model_name;
  facts_.num_prompt_tokens = static_cast<uint32_t>(spec_.prompt.size());
  facts_.num_choices = spec_.num_choices;
  facts_.seed = spec_.sampling.seed;
  facts_.kept_heads = &service_->kept_heads;
  builder_.emplace(facts_, facts_.output.text ? service_->tokenizer : nullptr);
  auto request = std::make_shared<Request>(std::move(spec_), shared_from_this());
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (abort_.has_value()) return *abort_;
    request_ = request;
  }
  absl::Status status = ForClient(service_->engine->Submit(std::move(request)));
  taken_ = status.ok();
  if (taken_) lease_.KeepPrompt();
  return status;
}

void GenerateCall::Advance() {
  std::optional<absl::Status> abort;
  {
    std::lock_guard<std::mutex> lock(mu_);
    abort = abort_;
    if (!abort.has_value() && !Refill()) return;
  }
  if (abort.has_value()) return End(*abort);
  WriteNext();
}

bool GenerateCall::Refill() {
  while (builder_->empty() && !builder_->ended()) {
    if (!buffer_.ready()) {
      owned_ = false;
      return false;
    }
    builder_->Add(buffer_.Take());
  }
  return true;
}

void GenerateCall::WriteNext() {
  if (builder_->empty()) return End(builder_->status());  // ended before its prompt was computed
  builder_->Next(&message_out_);
  const bool last = builder_->empty() && builder_->ended();
  // gRPC orders this thread before the one of OnWriteDone, but ThreadSanitizer does not see into
  // it.
  { const std::lock_guard<std::mutex> handover(mu_); }
  if (!last) return StartWrite(&message_out_);
  const absl::Status status = builder_->status();
  RecordEnd(status);
  lease_.Close();
  StartWriteAndFinish(&message_out_, grpc::WriteOptions(), ToGrpcStatus(status, context_));
}

void GenerateCall::End(const absl::Status& status) {
  RecordEnd(status);
  lease_.Close();
  Finish(ToGrpcStatus(status, context_));
}

void GenerateCall::OnWriteDone(bool ok) {
  if (!ok) Abort(WhyCancelled());
  Advance();
}

void GenerateCall::OnCancel() {
  Abort(WhyCancelled());
  bool owner = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    owner = TakeIfIdle();
  }
  if (owner) Advance();
}

void GenerateCall::OnDone() {
  std::shared_ptr<Request> request;  // outlives the lock: it may be the last to hold this
  const std::shared_ptr<GenerateCall> self = std::move(self_);
  {
    std::lock_guard<std::mutex> lock(mu_);
    request = std::move(request_);
  }
  service_->streams.Remove();
}

void GenerateCall::Abort(absl::Status status) {
  std::shared_ptr<Request> request;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (abort_.has_value()) return;
    abort_ = std::move(status);
    request = request_;
  }
  if (request != nullptr) service_->engine->Cancel(*request);
}

absl::Status GenerateCall::WhyCancelled() const {
  if (absl::Now() >= Deadline(*context_)) {
    return absl::DeadlineExceededError("the deadline has passed");
  }
  return absl::CancelledError("the client has cancelled the call or gone away");
}

bool GenerateCall::TakeIfIdle() { return !std::exchange(owned_, true); }

template <typename Change>
void GenerateCall::AddOutput(Change change) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (abort_.has_value()) return;
    change();
    if (!abort_.has_value() && !buffer_.ready()) return;
    if (!TakeIfIdle()) return;
  }
  service_->delivery_queue->Post([self = shared_from_this()] { self->Advance(); });
}

void GenerateCall::OnPromptComputed() {
  AddOutput([&] { buffer_.AddPromptComputed(); });
}

void GenerateCall::OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) {
  AddOutput([&] { buffer_.AddPromptLogprobs(first_position, std::move(logprobs)); });
}

void GenerateCall::OnToken(uint32_t choice, OutputToken token) {
  lease_.CountOutput(1);
  AddOutput([&] {
    if (buffer_.AddToken(choice, std::move(token))) return;
    abort_ = ReaderTooSlow(service_->stream_buffer_tokens);
    if (request_ != nullptr) request_->Cancel();  // on the engine's own thread: it needs no waking
  });
}

void GenerateCall::OnFinish(uint32_t choice, FinishInfo info) {
  AddOutput([&] { buffer_.AddFinish(choice, std::move(info)); });
}

void GenerateCall::RecordEnd(const absl::Status& status) const {
  if (!taken_) service_->call_counts.CountUntaken(status);
  RequestEnd end;
  end.request_id = facts_.request_id;
  end.status = status;
  if (lease_.tenant() != nullptr) end.tenant = lease_.tenant()->name();
  end.num_prompt_tokens = facts_.num_prompt_tokens;
  end.total_time = absl::Now() - arrival_;
  if (builder_.has_value() && builder_->ended()) {
    const FinishInfo& finish = builder_->first_finish();
    end.output = {.num_tokens = builder_->num_output_tokens(),
                  .reason = finish.reason,
                  .queue_time = finish.queue_time,
                  .prefill_time = finish.prefill_time,
                  .decode_time = finish.decode_time};
  }
  LogRequestEnd(end);
}

}  // namespace winnow
