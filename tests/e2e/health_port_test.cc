// The plaintext health port: the same health as on the main port, and nothing else.
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

constexpr char kService[] = "winnow.v1.GenerationService";

Options WithHealthPort(const std::string& address = "127.0.0.1:0") {
  Options options = TestOptions();
  options.health_listen = address;
  return options;
}

std::shared_ptr<grpc::Channel> Connect(TestServer& server) {
  return grpc::CreateChannel(*server.server().health_address(), grpc::InsecureChannelCredentials());
}

HealthCheckRequest For(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

TEST(HealthPortTest, NoneUnlessAskedFor) {
  TestServer server;
  EXPECT_FALSE(server.server().health_address().has_value());
}

TEST(HealthPortTest, CheckSaysServingThenNotServing) {
  TestServer server(WithHealthPort());
  auto stub = grpc::health::v1::Health::NewStub(Connect(server));
  for (const bool serving : {true, false}) {
    for (const char* service : {"", kService}) {
      grpc::ClientContext context;
      HealthCheckResponse response;
      ASSERT_TRUE(stub->Check(&context, For(service), &response).ok());
      EXPECT_EQ(response.status(),
                serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
    }
    server.server().AnnounceShutdown();
  }
}

TEST(HealthPortTest, WatchTellsOfTheChange) {
  TestServer server(WithHealthPort());
  auto stub = grpc::health::v1::Health::NewStub(Connect(server));
  grpc::ClientContext context;
  auto reader = stub->Watch(&context, For(kService));
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  server.server().AnnounceShutdown();
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
}

TEST(HealthPortTest, ServesNothingElse) {
  TestServer server(WithHealthPort());
  v1::GetModelInfoResponse info;
  Client client(*server.server().health_address());
  EXPECT_EQ(client.GetModelInfo({}, &info).code, absl::StatusCode::kUnimplemented);
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(5), 3)).code, absl::StatusCode::kUnimplemented);
  grpc::GenericStub stub(Connect(server));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      grpc::ByteBuffer(), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(HealthPortTest, TakenAddressIsAnError) {
  TestServer server;
  const auto second = Server::Start(WithHealthPort(server.address()),
                                    ServeFake(&server.model(), nullptr, TestOptions()), nullptr);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server.address()));
}

TEST(HealthPortTest, WatcherDoesNotHoldUpTheEnd) {
  auto server = std::make_unique<TestServer>(WithHealthPort());
  auto stub = grpc::health::v1::Health::NewStub(Connect(*server));
  grpc::ClientContext context;
  auto reader = stub->Watch(&context, For(""));
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  server.reset();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_FALSE(reader->Finish().ok());
}

}  // namespace
}  // namespace winnow
