// FlakyService: a Generate that answers at once and, if it is told to, refuses the first attempt of
// every call with UNAVAILABLE. For clients that retry or take turns between servers.
#ifndef WINNOW_TESTS_E2E_FLAKY_SERVICE_H_
#define WINNOW_TESTS_E2E_FLAKY_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "kernels/check.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow {

class FlakyService : public v1::GenerationService::Service {
 public:
  // Serves on a free loopback port until it is destroyed.
  explicit FlakyService(bool refuses_first_attempts) : flaky_(refuses_first_attempts) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    WINNOW_CHECK(server_ != nullptr);
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~FlakyService() override { server_->Shutdown(); }

  const std::string& address() const { return address_; }
  int64_t num_refused() const { return num_refused_; }
  int64_t num_retries() const { return num_retries_; }  // attempts that gRPC said are not the first
  int64_t num_answered() const { return num_answered_; }

  grpc::Status GetModelInfo(grpc::ServerContext*, const v1::GetModelInfoRequest*,
                            v1::GetModelInfoResponse* response) override {
    response->set_name("flaky");
    response->set_vocab_size(100);
    return grpc::Status::OK;
  }

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    const bool again = context->client_metadata().count("grpc-previous-rpc-attempts") > 0;
    if (again) ++num_retries_;
    if (flaky_ && !again) {
      ++num_refused_;
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not the first time");
    }
    ++num_answered_;
    v1::GenerateResponse message;
    message.mutable_prompt()->set_num_prompt_tokens(request->token_ids().ids_size());
    writer->Write(message);
    message.mutable_delta()->set_num_tokens(request->stop().max_tokens());
    writer->Write(message);
    message.mutable_finish()->set_num_output_tokens(request->stop().max_tokens());
    writer->Write(message);
    return grpc::Status::OK;
  }

 private:
  const bool flaky_;
  std::atomic<int64_t> num_refused_ = 0, num_retries_ = 0, num_answered_ = 0;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_FLAKY_SERVICE_H_
