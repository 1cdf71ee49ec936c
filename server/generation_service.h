// GenerationService: the RPCs of winnow.v1. Generate is GenerateCall; the others answer at once,
// from the text queue when they compute on text.
//
// Called on gRPC's threads. The context must outlive every call.
#ifndef WINNOW_SERVER_GENERATION_SERVICE_H_
#define WINNOW_SERVER_GENERATION_SERVICE_H_

#include <functional>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "proto/winnow/v1/generation.grpc.pb.h"
#include "server/service_context.h"

namespace winnow {

class GenerationService final : public v1::GenerationService::CallbackService {
 public:
  explicit GenerationService(ServiceContext* context) : service_(context) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::GetModelInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const v1::GetLoadRequest* request,
                                    v1::GetLoadResponse* response) override;

 private:
  // Has the text queue run `compute` for who may call `rpc`, and answers with its status.
  grpc::ServerUnaryReactor* AnswerFromTextQueue(grpc::CallbackServerContext* context, Rpc rpc,
                                                std::function<absl::Status()> compute);
  absl::Status Tokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse* response) const;
  absl::Status Detokenize(const v1::DetokenizeRequest& request,
                          v1::DetokenizeResponse* response) const;

  ServiceContext* const service_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_GENERATION_SERVICE_H_
