#include "server/generation_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/authorize.h"
#include "server/errors.h"
#include "server/generate_call.h"
#include "server/grpc_status.h"
#include "server/validate.h"

namespace winnow {
namespace {

// What holds for every request that names a model.
template <typename Request>
absl::Status ValidateCommon(const Request& request, const RequestLimits& limits) {
  absl::Status status = ValidateKnownFields(request);
  status.Update(ValidateModel(request.model(), limits));
  return status;
}

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status, context));
  return reactor;
}

absl::Status MayCall(const Access* access, const grpc::CallbackServerContext& context, Rpc rpc) {
  return Authorize(access, context, rpc).status();
}

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* GenerationService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return GenerateCall::Start(service_, context, request);
}

grpc::ServerUnaryReactor* GenerationService::AnswerFromTextQueue(
    grpc::CallbackServerContext* context, Rpc rpc, std::function<absl::Status()> compute) {
  if (absl::Status status = MayCall(service_->access, *context, rpc); !status.ok()) {
    return Answer(context, status);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool taken = service_->text_queue->TryPost(
      [reactor, context, compute = std::move(compute)] {
        reactor->Finish(ToGrpcStatus(compute(), context));
      },
      service_->max_waiting_texts);
  if (taken) return reactor;
  return Answer(
      context, QueueFull(absl::StrCat(service_->max_waiting_texts, " texts wait to be tokenized")));
}

grpc::ServerUnaryReactor* GenerationService::Tokenize(grpc::CallbackServerContext* context,
                                                      const v1::TokenizeRequest* request,
                                                      v1::TokenizeResponse* response) {
  return AnswerFromTextQueue(context, Rpc::kTokenize,
                             [this, request, response] { return Tokenize(*request, response); });
}

absl::Status GenerationService::Tokenize(const v1::TokenizeRequest& request,
                                         v1::TokenizeResponse* response) const {
  if (absl::Status status = ValidateCommon(request, service_->limits); !status.ok()) {
    return status;
  }
  if (service_->tokenizer == nullptr) return NoTokenizer("Tokenize");
  const auto ids = service_->tokenizer->Encode(request.text(), !request.skip_special_tokens());
  if (!ids.ok()) return InvalidField("text", ids.status().message());
  response->mutable_ids()->Add(ids->begin(), ids->end());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* GenerationService::Detokenize(grpc::CallbackServerContext* context,
                                                        const v1::DetokenizeRequest* request,
                                                        v1::DetokenizeResponse* response) {
  return AnswerFromTextQueue(context, Rpc::kDetokenize,
                             [this, request, response] { return Detokenize(*request, response); });
}

absl::Status GenerationService::Detokenize(const v1::DetokenizeRequest& request,
                                           v1::DetokenizeResponse* response) const {
  if (absl::Status status = ValidateCommon(request, service_->limits); !status.ok()) {
    return status;
  }
  if (service_->tokenizer == nullptr) return NoTokenizer("Detokenize");
  auto text = service_->tokenizer->Decode(request.ids(), request.include_special_tokens());
  if (!text.ok()) return InvalidField("ids", text.status().message());
  response->set_text(*std::move(text));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* GenerationService::GetModelInfo(grpc::CallbackServerContext* context,
                                                          const v1::GetModelInfoRequest* request,
                                                          v1::GetModelInfoResponse* response) {
  absl::Status status = MayCall(service_->access, *context, Rpc::kGetModelInfo);
  if (status.ok()) status = ValidateCommon(*request, service_->limits);
  if (status.ok()) *response = service_->info;
  return Answer(context, status);
}

grpc::ServerUnaryReactor* GenerationService::GetLoad(grpc::CallbackServerContext* context,
                                                     const v1::GetLoadRequest* /*request*/,
                                                     v1::GetLoadResponse* response) {
  absl::Status status = MayCall(service_->access, *context, Rpc::kGetLoad);
  if (!status.ok()) return Answer(context, status);
  const EngineStats stats = service_->engine->Stats();
  response->set_running(static_cast<uint32_t>(stats.load.running));
  response->set_waiting(static_cast<uint32_t>(stats.load.waiting));
  response->set_waiting_prompt_tokens(stats.load.waiting_prompt_tokens);
  response->set_slots_used(stats.load.slots_used);
  response->set_slots_reserved(stats.load.slots_reserved);
  response->set_slots_total(stats.load.slots_total);
  response->set_pages_used(stats.load.pages_used);
  response->set_pages_reserved(stats.load.pages_reserved);
  response->set_pages_total(stats.load.pages_total);
  response->set_draining(stats.draining || service_->shutting_down);
  return Answer(context, absl::OkStatus());
}

}  // namespace winnow
