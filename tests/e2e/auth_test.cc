// Tenants as their clients see them: the rows UNAUTHENTICATED, PERMISSION_DENIED and "over quota"
// of the status table, limits over time and over calls that end in every way, and an auth file that
// changes while the server runs.
#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "server/test_certificates.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

constexpr char kToken[] = "token-of-one-0123456789";
constexpr char kOther[] = "token-of-two-0123456789";

// The auth file's entry of tenant "one", with these fields.
std::string One(const std::string& fields = "") {
  return absl::StrCat(R"({"name": "one", "tokens": [")", kToken, "\"]", fields, "}");
}
std::string Two() { return absl::StrCat(R"({"name": "two", "tokens": [")", kOther, "\"]}"); }

Connection With(const std::string& authorization) {
  return Connection{.metadata = {{"authorization", authorization}}};
}
Connection Bearing(const std::string& token) { return With("Bearer " + token); }

class AuthTest : public ::testing::Test {
 protected:
  AuthTest() {
    options_.auth_file = testing::TempDir() + "/" +
                         testing::UnitTest::GetInstance()->current_test_info()->name() + ".json";
    options_.reload_interval = absl::Milliseconds(10);
    Write({One()});
  }

  void Write(const std::vector<std::string>& tenants) {
    std::string list;
    for (const std::string& tenant : tenants) {
      absl::StrAppend(&list, list.empty() ? "" : ", ", tenant);
    }
    WriteTestFile(options_.auth_file, absl::StrCat(R"({"tenants": [)", list, "]}"));
  }
  Clock FakeClock() {
    return [this] { return absl::FromUnixMicros(now_us_); };
  }
  static Outcome Ask(Client& client, int prompt, uint32_t max_tokens) {
    return client.Generate(IdsRequest(SomePrompt(prompt), max_tokens));
  }

  Options options_ = TestOptions();
  std::atomic<int64_t> now_us_{1'700'000'000'000'000};
};

// Every RPC's outcome.
std::vector<Outcome> AskAll(Client& client) {
  v1::TokenizeRequest tokenize;
  tokenize.set_text("hello");
  v1::TokenizeResponse tokens;
  v1::DetokenizeRequest detokenize;
  detokenize.add_ids(5);
  v1::DetokenizeResponse text;
  v1::GetModelInfoResponse info;
  v1::GetLoadResponse load;
  return {client.Generate(IdsRequest(SomePrompt(5), 3)), client.Tokenize(tokenize, &tokens),
          client.Detokenize(detokenize, &text), client.GetModelInfo({}, &info),
          client.GetLoad(&load)};
}

// An empty request to reflection, which answers it with an error in a message.
grpc::Status Reflect(const std::string& address) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
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
  queue.Next(&tag, &ok);
  return status;
}

TEST_F(AuthTest, KnownTokenMayCallEverything) {
  TestServer server(options_);
  Client client(server.address(), Bearing(kToken));
  for (const Outcome& outcome : AskAll(client)) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  }
}

TEST_F(AuthTest, MissingOrUnknownTokenIsUnauthenticatedForEveryRpc) {
  TestServer server(options_);
  const struct {
    Connection connection;
    const char* reason;
  } cases[] = {
      {Connection(), "TOKEN_MISSING"},
      {With(kToken), "TOKEN_MALFORMED"},
      {With("Basic b25lOnR3bw=="), "TOKEN_MALFORMED"},
      {Connection{.metadata = {{"authorization", absl::StrCat("Bearer ", kToken)},
                               {"authorization", absl::StrCat("Bearer ", kToken)}}},
       "TOKEN_MALFORMED"},
      {Bearing(kOther), "TOKEN_UNKNOWN"},
      {Bearing(""), "TOKEN_MALFORMED"},  // gRPC strips the space
      {Bearing(std::string(kToken).substr(1)), "TOKEN_UNKNOWN"},
  };
  for (const auto& c : cases) {
    Client client(server.address(), c.connection);
    for (const Outcome& outcome : AskAll(client)) {
      EXPECT_EQ(outcome.code, absl::StatusCode::kUnauthenticated) << outcome;
      const auto info = outcome.Get<google::rpc::ErrorInfo>();
      EXPECT_THAT(info.reason(), testing::AnyOf(c.reason, "TOKEN_UNKNOWN"));
      EXPECT_EQ(info.domain(), "winnow");
      EXPECT_THAT(outcome.message, Not(HasSubstr("0123456789")));
      EXPECT_THAT(outcome.messages, IsEmpty());
      EXPECT_THAT(outcome.trailers, Not(Contains(Key("grpc-retry-pushback-ms"))));
    }
  }
}

TEST_F(AuthTest, HealthAndReflectionStayOpen) {
  TestServer server(options_);
  auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(stub->Check(&context, {}, &response).ok());
  EXPECT_EQ(Reflect(server.address()).error_code(), grpc::StatusCode::OK);
}

TEST_F(AuthTest, TheLogNamesTheTenant) {
  TestServer server(options_);
  LogCapture log;
  Client client(server.address(), Bearing(kToken));
  EXPECT_EQ(Ask(client, 5, 3).code, absl::StatusCode::kOk);
  EXPECT_EQ(log.Count(": OK; tenant one; 5 prompt tokens"), 1);
}

TEST_F(AuthTest, WhatATenantMayNotCallIsPermissionDenied) {
  Write({One(R"(, "rpcs": ["GetLoad"])")});
  TestServer server(options_);
  Client client(server.address(), Bearing(kToken));
  const std::vector<Outcome> outcomes = AskAll(client);
  const char* const names[] = {"Generate", "Tokenize", "Detokenize", "GetModelInfo"};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(outcomes[i].code, absl::StatusCode::kPermissionDenied) << outcomes[i];
    const auto info = outcomes[i].Get<google::rpc::ErrorInfo>();
    EXPECT_EQ(info.reason(), "RPC_NOT_ALLOWED");
    EXPECT_EQ(info.metadata().at("rpc"), names[i]);
    EXPECT_EQ(info.metadata().at("tenant"), "one");
  }
  EXPECT_EQ(outcomes[4].code, absl::StatusCode::kOk);
}

TEST_F(AuthTest, PriorityAboveTheTenantsIsPermissionDenied) {
  Write({One(R"(, "max_priority": 0)")});
  TestServer server(options_);
  Client client(server.address(), Bearing(kToken));
  v1::GenerateRequest request = IdsRequest(SomePrompt(5), 3);
  request.set_priority(-5);
  EXPECT_EQ(client.Generate(request).code, absl::StatusCode::kOk);
  request.set_priority(1);
  const Outcome outcome = client.Generate(request);
  EXPECT_EQ(outcome.code, absl::StatusCode::kPermissionDenied) << outcome;
  const auto info = outcome.Get<google::rpc::ErrorInfo>();
  EXPECT_EQ(info.reason(), "PRIORITY_TOO_HIGH");
  EXPECT_EQ(info.metadata().at("max_priority"), "0");
}

TEST_F(AuthTest, OverQuotaSaysWhenItFrees) {
  Write({One(R"(, "max_tokens_per_minute": 60)"), Two()});
  TestServer server(options_, true, FakeClock());
  Client client(server.address(), Bearing(kToken));
  EXPECT_EQ(Ask(client, 20, 30).code, absl::StatusCode::kOk);
  const Outcome outcome = Ask(client, 20, 5);
  EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << outcome;
  const auto quota = outcome.Get<google::rpc::QuotaFailure>();
  ASSERT_EQ(quota.violations_size(), 1);
  EXPECT_EQ(quota.violations(0).subject(), "tenant:one");
  EXPECT_THAT(quota.violations(0).description(), HasSubstr("60 tokens per minute"));
  // 10 are left of the 25 that it takes, and one comes each second.
  EXPECT_EQ(outcome.Get<google::rpc::RetryInfo>().retry_delay().seconds(), 15);
  EXPECT_EQ(outcome.trailers.at("grpc-retry-pushback-ms"), "15000");
  EXPECT_THAT(outcome.messages, IsEmpty());
  Client other(server.address(), Bearing(kOther));
  EXPECT_EQ(Ask(other, 20, 5).code, absl::StatusCode::kOk) << "another tenant's is its own";
  now_us_ += 14'999'000;
  const Outcome early = Ask(client, 20, 5);
  EXPECT_EQ(early.trailers.at("grpc-retry-pushback-ms"), "1");
  now_us_ += 1000;
  EXPECT_EQ(Ask(client, 20, 5).code, absl::StatusCode::kOk);
}

TEST_F(AuthTest, RequestAboveTheWholeQuotaIsToldNotToRetry) {
  Write({One(R"(, "max_tokens_per_minute": 60)")});
  TestServer server(options_, true, FakeClock());
  Client client(server.address(), Bearing(kToken));
  const Outcome outcome = Ask(client, 20, 41);
  EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << outcome;
  EXPECT_THAT(outcome.message, HasSubstr("60 tokens per minute"));
  EXPECT_THAT(outcome.message, HasSubstr("61"));
  EXPECT_EQ(outcome.trailers.at("grpc-retry-pushback-ms"), "-1");
  EXPECT_FALSE(outcome.Get<google::rpc::RetryInfo>().has_retry_delay());
}

TEST_F(AuthTest, WhatIsNotGeneratedGoesBack) {
  Write({One(R"(, "max_tokens_per_minute": 100)")});
  TestServer server(options_, true, FakeClock());
  Client client(server.address(), Bearing(kToken));
  v1::GenerateRequest request = IdsRequest(SomePrompt(10), 50);
  const std::vector<uint32_t> answer = FakeModel::GreedyAnswer(SomePrompt(10), 3);
  request.mutable_stop()->add_stop_token_ids(answer[2]);
  ASSERT_EQ(client.Generate(request).Finish().num_output_tokens(), 3u);
  // 100 - 10 - 3 are left.
  EXPECT_EQ(Ask(client, 10, 78).code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Ask(client, 10, 77).code, absl::StatusCode::kOk);
}

TEST_F(AuthTest, WhatTheServerRefusesCostsNothing) {
  Write({One(R"(, "max_tokens_per_minute": 100, "max_concurrent_requests": 1)")});
  options_.max_sequence_tokens = 90;
  TestServer server(options_, true, FakeClock());
  Client client(server.address(), Bearing(kToken));
  EXPECT_EQ(Ask(client, 91, 1).code, absl::StatusCode::kInvalidArgument);
  v1::GenerateRequest request = IdsRequest(SomePrompt(10), 50);
  request.mutable_sampling()->set_top_p(7);
  EXPECT_EQ(client.Generate(request).code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(client, 40, 50).code, absl::StatusCode::kOk);
}

// A limit of one request at a time, with one running, held in its first step.
class OneAtATimeTest : public AuthTest {
 protected:
  OneAtATimeTest() {
    Write({One(R"(, "max_concurrent_requests": 1)")});
    server_ = std::make_unique<TestServer>(options_);
    client_ = std::make_unique<Client>(server_->address(), Bearing(kToken));
    server_->model().HoldSteps();
    running_ = client_->Start(IdsRequest(SomePrompt(5), 5));
    server_->model().WaitUntilHeld();
  }

  bool OneMoreIsRefused() {
    const Outcome outcome = Ask(*client_, 5, 5);
    return outcome.code == absl::StatusCode::kResourceExhausted &&
           outcome.Get<google::rpc::QuotaFailure>().violations(0).subject() == "tenant:one" &&
           outcome.trailers.at("grpc-retry-pushback-ms") == "1000";
  }
  bool OneMoreIsServed() { return Ask(*client_, 5, 5).code == absl::StatusCode::kOk; }

  std::unique_ptr<TestServer> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Call> running_;
};

TEST_F(OneAtATimeTest, OneMoreIsRefusedUntilTheFirstHasEnded) {
  EXPECT_TRUE(OneMoreIsRefused());
  server_->model().Release();
  EXPECT_EQ(running_->Finish().code, absl::StatusCode::kOk);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(OneMoreIsServed()) << "one after the other, " << i;
}

TEST_F(OneAtATimeTest, ACancelledCallCountsNoMore) {
  EXPECT_TRUE(OneMoreIsRefused());
  running_->Cancel();
  EXPECT_EQ(running_->Finish().code, absl::StatusCode::kCancelled);
  server_->model().Release();
  EXPECT_TRUE(WaitUntil([&] { return OneMoreIsServed(); }));
}

TEST_F(OneAtATimeTest, ACallThatFailsCountsNoMore) {
  server_->model().FailNextStep(absl::InternalError("broken"));
  server_->model().Release();
  EXPECT_EQ(running_->Finish().code, absl::StatusCode::kInternal);
  EXPECT_TRUE(OneMoreIsServed());
}

TEST_F(AuthTest, ChangedFileHoldsWithoutARestart) {
  TestServer server(options_);
  Client one(server.address(), Bearing(kToken)), two(server.address(), Bearing(kOther));
  EXPECT_EQ(Ask(two, 5, 3).code, absl::StatusCode::kUnauthenticated);
  server.model().HoldSteps();
  std::unique_ptr<Call> running = one.Start(IdsRequest(SomePrompt(5), 5));
  server.model().WaitUntilHeld();
  Write({Two()});
  v1::GetLoadResponse load;
  EXPECT_TRUE(WaitUntil([&] { return two.GetLoad(&load).code == absl::StatusCode::kOk; }));
  EXPECT_EQ(one.GetLoad(&load).code, absl::StatusCode::kUnauthenticated);
  server.model().Release();
  const Outcome outcome = running->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.TokenIds(), FakeModel::GreedyAnswer(SomePrompt(5), 5))
      << "what ran when its tenant went";
}

TEST_F(AuthTest, InvalidFileKeepsTheTenantsAndWarnsOnce) {
  LogCapture log;
  TestServer server(options_);
  Client client(server.address(), Bearing(kToken));
  Write({One(R"(, "max_priorities": 1)")});
  EXPECT_TRUE(WaitUntil([&] { return log.Count("max_priorities") == 1; }));
  EXPECT_EQ(Ask(client, 5, 3).code, absl::StatusCode::kOk);
  Write({One(), Two()});
  Client two(server.address(), Bearing(kOther));
  EXPECT_TRUE(WaitUntil([&] { return Ask(two, 5, 3).code == absl::StatusCode::kOk; }));
  EXPECT_EQ(log.Count("max_priorities"), 1);
  EXPECT_EQ(log.Count("0123456789"), 0) << "a token in the log";
}

TEST_F(AuthTest, InvalidFileIsRefusedAtStart) {
  TestServer other;  // lends its model
  WriteTestFile(options_.auth_file, "{}");
  const auto server =
      Server::Start(options_, ServeFake(&other.model(), nullptr, options_), nullptr);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr(options_.auth_file));
}

}  // namespace
}  // namespace winnow
