// What probes and tools ask of any gRPC server: health (Check and Watch) and reflection. And the
// other RPCs of ours.
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "server/served_model.h"
#include "server/server.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kService[] = "winnow.v1.GenerationService";

std::shared_ptr<grpc::Channel> Connect(const TestServer& server) {
  return grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
}

HealthCheckRequest For(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

TEST(HealthTest, CheckSaysServingThenNotServing) {
  TestServer server;
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

TEST(HealthTest, UnknownServiceIsNotFound) {
  TestServer server;
  auto stub = grpc::health::v1::Health::NewStub(Connect(server));
  grpc::ClientContext context;
  HealthCheckResponse response;
  EXPECT_EQ(stub->Check(&context, For("no.such.Service"), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(HealthTest, WatchTellsOfTheChange) {
  TestServer server;
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

// Debian has no generated code for the reflection protocol: ServerReflectionRequest{list_services:
// ""} is the two bytes of field 7 with an empty string, and the answer holds the services' names as
// they are.
TEST(ReflectionTest, ListsTheServices) {
  TestServer server;
  grpc::GenericStub stub(Connect(server));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto stream = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  stream->StartCall(nullptr);
  ASSERT_TRUE(next());
  const grpc::Slice bytes("\x3a\x00", 2);
  stream->Write(grpc::ByteBuffer(&bytes, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer answer;
  stream->Read(&answer, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice slice;
  ASSERT_TRUE(answer.DumpToSingleSlice(&slice).ok());
  const std::string text(reinterpret_cast<const char*>(slice.begin()), slice.size());
  EXPECT_THAT(text, HasSubstr(kService));
  EXPECT_THAT(text, HasSubstr("grpc.health.v1.Health"));
  context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  next();
  queue.Shutdown();
  while (next()) {
  }
}

TEST(ListenTest, SeveralAddressesAndUnixSockets) {
  Options options = TestOptions();
  const std::string path = "unix:/tmp/winnow-health-test-" + std::to_string(getpid());
  options.listen = {"127.0.0.1:0", path, "localhost:0"};
  TestServer server(options);
  const std::vector<std::string>& addresses = server.server().addresses();
  ASSERT_EQ(addresses.size(), 3u);
  EXPECT_EQ(addresses[1], path);
  EXPECT_THAT(addresses[2], testing::StartsWith("localhost:"));
  for (const std::string& address : addresses) {
    EXPECT_EQ(Client(address).Generate(IdsRequest(SomePrompt(3), 1)).code, absl::StatusCode::kOk)
        << address;
  }
}

TEST(ListenTest, TakenAddressIsAnError) {
  TestServer server;
  Options options = TestOptions();
  options.listen = {"127.0.0.1:0", server.address()};
  ServedModel served;
  served.model = &server.model();
  served.plan.num_slots = served.plan.num_pages = 1;
  const auto second = Server::Start(options, served, nullptr);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server.address()));
}

TEST(ModelInfoTest, DescribesTheModel) {
  TestServer server;
  Client client(server.address());
  v1::GetModelInfoResponse info;
  ASSERT_EQ(client.GetModelInfo({}, &info).code, absl::StatusCode::kOk);
  EXPECT_EQ(info.name(), "fake");
  EXPECT_EQ(info.model_type(), "hybrid_gated_deltanet");
  EXPECT_EQ(info.vocab_size(), FakeModel::kVocabSize);
  EXPECT_THAT(info.layer_kinds(), ElementsAre("gdn", "lte", "gdn"));
  EXPECT_EQ(info.num_layers(), 3u);
  EXPECT_TRUE(info.has_tokenizer());
  EXPECT_THAT(info.eos_token_ids(), ElementsAre(2));
  // Per head a ring of 17 tokens in pages of 16, and 8 kept ones: 3 pages.
  EXPECT_EQ(info.max_pages_per_sequence(), 6u);
  EXPECT_EQ(info.max_concurrent_sequences(), 8u);
  EXPECT_FALSE(info.has_max_sequence_tokens());
  EXPECT_EQ(info.page_tokens(), 16u);
  EXPECT_EQ(info.window_tokens(), 16u);
  EXPECT_EQ(info.kept_tokens_per_head(), 8u);
  // 2 heads, keys and values of 8 float32.
  EXPECT_EQ(info.kv_bytes_per_token(), 128u);
  EXPECT_EQ(info.state_layout(), server.model().state_spec().fingerprint());
}

TEST(TokenizeTest, ThereAndBack) {
  TestServer server;
  Client client(server.address());
  v1::TokenizeRequest request;
  request.set_text("The code of the nimble cloud is 09665.");
  request.set_skip_special_tokens(true);
  v1::TokenizeResponse tokens;
  ASSERT_EQ(client.Tokenize(request, &tokens).code, absl::StatusCode::kOk);
  const auto expected = server.tokenizer().Encode(request.text(), false).value();
  EXPECT_THAT(tokens.ids(), testing::ElementsAreArray(expected));
  v1::DetokenizeRequest back;
  *back.mutable_ids() = tokens.ids();
  v1::DetokenizeResponse text;
  ASSERT_EQ(client.Detokenize(back, &text).code, absl::StatusCode::kOk);
  EXPECT_EQ(text.text(), request.text());
}

TEST(TokenizeTest, IdOutsideOfTheVocabularyIsRefused) {
  TestServer server;
  Client client(server.address());
  v1::DetokenizeRequest request;
  request.add_ids(1 << 30);
  v1::DetokenizeResponse text;
  EXPECT_EQ(client.Detokenize(request, &text).code, absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace winnow
