// TLS and mTLS as clients see them: who gets in, and certificates that change while the server
// runs.
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "server/test_certificates.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    options_.tls_cert = Path("crt");
    options_.tls_key = Path("key");
    options_.reload_interval = absl::Milliseconds(10);
    Write(pair_);
  }

  static std::string Path(const std::string& suffix) {
    return testing::TempDir() + "/" +
           testing::UnitTest::GetInstance()->current_test_info()->name() + "." + suffix;
  }
  void Write(const TestCertificate& pair) {
    WriteTestFile(options_.tls_cert, pair.cert);
    WriteTestFile(options_.tls_key, pair.key);
  }
  void WantClientCertificatesOf(const TestCa& ca) {
    options_.tls_client_ca = Path("ca");
    WriteTestFile(options_.tls_client_ca, ca.cert());
  }

  // What a client that trusts `ca`, and shows `own`, gets over a connection of its own.
  static Outcome Ask(const TestServer& server, const TestCa& ca, const TestCertificate& own = {}) {
    return AskWith(server, grpc::SslCredentials({ca.cert(), own.key, own.cert}));
  }
  static Outcome AskWith(const TestServer& server,
                         std::shared_ptr<grpc::ChannelCredentials> credentials) {
    Client client(server.address(), Connection{.credentials = std::move(credentials)});
    return client.Generate(IdsRequest(SomePrompt(5), 3));
  }

  const TestCa ca_{"ca"}, other_ca_{"other"};
  const TestCertificate pair_ = ca_.Issue("server"), renewed_ = ca_.Issue("renewed");
  Options options_ = TestOptions();
};

TEST_F(TlsTest, ServesWhoTrustsItsCa) {
  TestServer server(options_);
  const Outcome outcome = Ask(server, ca_);
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.TokenIds(), FakeModel::GreedyAnswer(SomePrompt(5), 3));
  EXPECT_EQ(outcome.server_certificate, pair_.cert);
}

TEST_F(TlsTest, EveryListeningAddressSpeaksTls) {
  options_.listen = {"127.0.0.1:0", "localhost:0"};
  TestServer server(options_);
  for (const std::string& address : server.server().addresses()) {
    const Connection tls = {.credentials = grpc::SslCredentials({ca_.cert(), "", ""})};
    EXPECT_EQ(Client(address, tls).Generate(IdsRequest(SomePrompt(5), 3)).code,
              absl::StatusCode::kOk);
    EXPECT_EQ(Client(address).Generate(IdsRequest(SomePrompt(5), 3)).code,
              absl::StatusCode::kUnavailable);
  }
}

TEST_F(TlsTest, PlaintextClientFailsCleanly) {
  TestServer server(options_);
  EXPECT_EQ(AskWith(server, grpc::InsecureChannelCredentials()).code,
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask(server, ca_).code, absl::StatusCode::kOk) << "nobody else has noticed";
}

TEST_F(TlsTest, ClientOfAnotherCaDoesNotTrustIt) {
  TestServer server(options_);
  EXPECT_EQ(Ask(server, other_ca_).code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask(server, ca_).code, absl::StatusCode::kOk);
}

TEST_F(TlsTest, ClientsMustShowACertificateOfTheirCa) {
  const TestCa client_ca("client ca");
  WantClientCertificatesOf(client_ca);
  TestServer server(options_);
  const Outcome good = Ask(server, ca_, client_ca.Issue("client"));
  EXPECT_EQ(good.code, absl::StatusCode::kOk) << good;
  EXPECT_EQ(Ask(server, ca_).code, absl::StatusCode::kUnavailable) << "none";
  EXPECT_EQ(Ask(server, ca_, other_ca_.Issue("client")).code, absl::StatusCode::kUnavailable)
      << "of another CA";
}

TEST_F(TlsTest, NewConnectionsSeeARenewedCertificateAndOldOnesGoOn) {
  TestServer server(options_);
  Client old(server.address(),
             Connection{.credentials = grpc::SslCredentials({ca_.cert(), "", ""})});
  EXPECT_EQ(old.Generate(IdsRequest(SomePrompt(5), 3)).server_certificate, pair_.cert);
  Write(renewed_);
  EXPECT_TRUE(WaitUntil([&] { return Ask(server, ca_).server_certificate == renewed_.cert; }));
  const Outcome outcome = old.Generate(IdsRequest(SomePrompt(5), 3));
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.server_certificate, pair_.cert);
}

TEST_F(TlsTest, EachListeningAddressTakesTheRenewedCertificate) {
  options_.listen = {"127.0.0.1:0", "localhost:0"};
  TestServer server(options_);
  Write(renewed_);
  for (const std::string& address : server.server().addresses()) {
    const Connection tls = {.credentials = grpc::SslCredentials({ca_.cert(), "", ""})};
    EXPECT_TRUE(WaitUntil([&] {
      return Client(address, tls).Generate(IdsRequest(SomePrompt(5), 3)).server_certificate ==
             renewed_.cert;
    })) << address;
  }
}

TEST_F(TlsTest, HalfWrittenPairKeepsTheOldOneInUse) {
  LogCapture log;
  TestServer server(options_);
  WriteTestFile(options_.tls_cert, renewed_.cert);
  EXPECT_TRUE(WaitUntil([&] { return log.Count("does not belong to the certificate") == 1; }));
  const Outcome outcome = Ask(server, ca_);
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.server_certificate, pair_.cert);
  WriteTestFile(options_.tls_key, renewed_.key);
  EXPECT_TRUE(WaitUntil([&] { return Ask(server, ca_).server_certificate == renewed_.cert; }));
  EXPECT_EQ(log.Count("does not belong to the certificate"), 1);
}

TEST_F(TlsTest, NewClientCaHoldsForNewConnections) {
  const TestCa first("first"), second("second");
  WantClientCertificatesOf(first);
  TestServer server(options_);
  const TestCertificate own = second.Issue("client");
  EXPECT_EQ(Ask(server, ca_, own).code, absl::StatusCode::kUnavailable);
  WantClientCertificatesOf(second);
  EXPECT_TRUE(WaitUntil([&] { return Ask(server, ca_, own).code == absl::StatusCode::kOk; }));
  EXPECT_EQ(Ask(server, ca_, first.Issue("client")).code, absl::StatusCode::kUnavailable);
}

TEST_F(TlsTest, FilesThatDoNotServeAreRefusedAtStart) {
  TestServer other;  // lends its model
  ServedModel served = ServeFake(&other.model(), nullptr, options_);
  WriteTestFile(options_.tls_key, renewed_.key);
  const auto server = Server::Start(options_, served, nullptr);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr(options_.tls_key));
}

TEST_F(TlsTest, ProbesReachTheHealthPortInPlaintext) {
  options_.health_listen = "127.0.0.1:0";
  TestServer server(options_);
  auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(*server.server().health_address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(stub->Check(&context, {}, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace winnow
