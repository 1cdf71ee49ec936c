// TLS, tokens and the health port with winnow-server and winnow-client as processes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/child_server.h"
#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "server/test_certificates.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kServer[] = "server/winnow-server";
constexpr char kClient[] = "client/winnow-client";
constexpr char kLoad[] = "client/load/winnow-load";
constexpr char kToken[] = "token-of-one-0123456789";
constexpr char kBearer[] = "Bearer token-of-one-0123456789";

struct Ended {
  int exit_code = -1;
  std::string output;
};

Ended RunCommand(const std::string& command) {
  std::FILE* pipe = popen(absl::StrCat("exec 2>&1 </dev/null; ", command).c_str(), "r");
  Ended run;
  std::array<char, 4096> buffer;
  size_t n;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    run.output.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

class SecurityProcessTest : public ::testing::Test {
 protected:
  SecurityProcessTest() {
    const TestCertificate server = ca_.Issue("server"), client = ca_.Issue("client");
    WriteTestFile(Path("ca.pem"), ca_.cert());
    WriteTestFile(Path("server.pem"), server.cert);
    WriteTestFile(Path("server.key"), server.key);
    WriteTestFile(Path("client.pem"), client.cert);
    WriteTestFile(Path("client.key"), client.key);
    WriteTestFile(Path("token"), absl::StrCat(kToken, "\n"));
    WriteTestFile(Path("tenants.json"),
                  absl::StrCat(R"({"tenants": [{"name": "one", "tokens": [")", kToken, "\"]}]}"));
  }

  static std::string Path(const std::string& name) { return testing::TempDir() + "/" + name; }
  static std::string Flag(const std::string& flag, const std::string& file) {
    return absl::StrCat("--", flag, "=", Path(file));
  }

  static std::unique_ptr<ChildServer> StartServer(std::vector<std::string> flags) {
    flags.insert(flags.begin(),
                 {"--model=deploy/demo-model", "--state_memory=64MiB", "--shutdown_delay=0"});
    auto server = ChildServer::Start(kServer, flags, absl::Seconds(60));
    WINNOW_CHECK(server.ok()) << server.status();
    return *std::move(server);
  }
  static Ended RunClient(const std::string& address, const std::string& flags) {
    return RunCommand(
        absl::StrCat(kClient, " --server=", address, " --max_tokens=3 --quiet ", flags, " hello"));
  }

  const TestCa ca_{"ca"};
};

TEST_F(SecurityProcessTest, LoadSpeaksTlsAndShowsItsToken) {
  const auto server =
      StartServer({Flag("tls_cert", "server.pem"), Flag("tls_key", "server.key"),
                   Flag("tls_client_ca", "ca.pem"), Flag("auth_file", "tenants.json")});
  const std::string load = absl::StrCat(kLoad, " --server=", server->address(),
                                        " --concurrency=2 --num_requests=4 --prompt_tokens=5"
                                        " --output_tokens=3 ");
  const std::string tls =
      absl::StrCat("--tls ", Flag("tls_ca", "ca.pem"), " ", Flag("tls_cert", "client.pem"), " ",
                   Flag("tls_key", "client.key"), " ");
  const Ended run = RunCommand(absl::StrCat(load, tls, Flag("token_file", "token")));
  EXPECT_EQ(run.exit_code, kExitOk) << run.output;
  EXPECT_THAT(run.output, Not(HasSubstr("Failed")));
  EXPECT_EQ(RunCommand(load + tls).exit_code, kExitRefused) << "without a token";
  const Ended unreadable = RunCommand(absl::StrCat(load, tls, Flag("token_file", "none")));
  EXPECT_EQ(unreadable.exit_code, kExitUsage);
  EXPECT_THAT(unreadable.output, HasSubstr(absl::StrCat("cannot read ", Path("none"))));
}

TEST_F(SecurityProcessTest, ClientSpeaksTlsAndShowsCertificateAndToken) {
  const auto server =
      StartServer({Flag("tls_cert", "server.pem"), Flag("tls_key", "server.key"),
                   Flag("tls_client_ca", "ca.pem"), Flag("auth_file", "tenants.json")});
  const std::string tls =
      absl::StrCat("--tls ", Flag("tls_ca", "ca.pem"), " ", Flag("tls_cert", "client.pem"), " ",
                   Flag("tls_key", "client.key"), " ");
  const Ended good = RunClient(server->address(), tls + Flag("token_file", "token"));
  EXPECT_EQ(good.exit_code, kExitOk) << good.output;
  const Ended no_token = RunClient(server->address(), tls);
  EXPECT_EQ(no_token.exit_code, kExitRefused);
  EXPECT_THAT(no_token.output, AllOf(HasSubstr("UNAUTHENTICATED"), HasSubstr("TOKEN_MISSING")));
  const Ended no_certificate =
      RunClient(server->address(),
                absl::StrCat("--tls ", Flag("tls_ca", "ca.pem"), " ", Flag("token_file", "token")));
  EXPECT_EQ(no_certificate.exit_code, kExitTryLater) << no_certificate.output;
  const Ended other_name = RunClient(
      server->address(), tls + Flag("token_file", "token") + " --tls_server_name=elsewhere");
  EXPECT_EQ(other_name.exit_code, kExitTryLater) << other_name.output;
  EXPECT_EQ(RunClient(server->address(), Flag("token_file", "token")).exit_code, kExitTryLater)
      << "in plaintext";
}

TEST_F(SecurityProcessTest, ClientRefusesFilesThatItCannotUse) {
  const Ended no_ca = RunClient("127.0.0.1:1", "--tls --tls_ca=/no/such/ca");
  EXPECT_EQ(no_ca.exit_code, kExitUsage);
  EXPECT_THAT(no_ca.output, HasSubstr("cannot read /no/such/ca"));
  WriteTestFile(Path("two_tokens"), absl::StrCat(kToken, "\n", kToken, "\n"));
  const Ended two = RunClient("127.0.0.1:1", Flag("token_file", "two_tokens"));
  EXPECT_EQ(two.exit_code, kExitUsage);
  EXPECT_THAT(two.output, AllOf(HasSubstr("must hold one token"), Not(HasSubstr(kToken))));
}

TEST_F(SecurityProcessTest, KilledClientCountsNoMore) {
  WriteTestFile(Path("one.json"),
                absl::StrCat(R"({"tenants": [{"name": "one", "max_concurrent_requests": 1,)",
                             R"( "tokens": [")", kToken, "\"]}]}"));
  const auto server = StartServer({Flag("auth_file", "one.json")});
  const std::string token = Flag("token_file", "token");
  const Ended spawned = RunCommand(absl::StrCat(
      kClient, " --server=", server->address(), " ", token,
      " --max_tokens=1000000000 --ignore_eos --quiet a >", Path("answer"), " 2>&1 & echo $!"));
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(absl::StripAsciiWhitespace(spawned.output), &pid));
  Client observer(server->address(), Connection{.metadata = {{"authorization", kBearer}}});
  EXPECT_TRUE(WaitUntil([&] { return observer.GetLoad().running() == 1; }));
  const Ended refused = RunClient(server->address(), token);
  EXPECT_EQ(refused.exit_code, kExitTryLater);
  EXPECT_THAT(refused.output, HasSubstr("tenant one has as many requests running as it may: 1"));
  kill(pid, SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return RunClient(server->address(), token).exit_code == kExitOk; }));
}

TEST_F(SecurityProcessTest, ServerPrintsItsHealthAddress) {
  // Paths of sockets must be short.
  const std::string socket = absl::StrCat("unix:/tmp/winnow-security-test-", getpid());
  const auto server = StartServer(
      {Flag("tls_cert", "server.pem"), Flag("tls_key", "server.key"), "--health_listen=" + socket});
  auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(stub->Check(&context, {}, &response).ok());
  const Ended run = RunCommand(absl::StrCat(
      "(", kServer, " --model=deploy/demo-model --state_memory=64MiB --shutdown_delay=0",
      " --log_level=off --listen=127.0.0.1:0 --health_listen=127.0.0.1:0 >", Path("out"), " & ",
      "until grep health ", Path("out"), "; do kill -0 $! || exit 1; done; kill $!; wait $!)"));
  EXPECT_THAT(run.output, HasSubstr("health listening on 127.0.0.1:"));
  EXPECT_EQ(run.exit_code, 0);
}

TEST_F(SecurityProcessTest, ServerRefusesFilesThatItCannotUse) {
  WriteTestFile(Path("broken.json"), "{");
  const struct {
    std::string flags, message;
  } cases[] = {
      {"--tls_cert=/no/such/cert " + Flag("tls_key", "server.key"), "cannot read /no/such/cert"},
      {Flag("tls_cert", "server.pem") + " " + Flag("tls_key", "server.pem"),
       "server.pem holds no PEM private key"},
      {Flag("tls_cert", "server.pem") + " " + Flag("tls_key", "client.key"),
       "does not belong to the certificate"},
      {Flag("auth_file", "broken.json"), "broken.json: is not valid JSON at line 1"},
      {Flag("tls_cert", "server.pem"), "needs --tls_key too"},
  };
  for (const auto& c : cases) {
    const Ended run = RunCommand(absl::StrCat(
        kServer, " --model=deploy/demo-model --state_memory=64MiB --log_level=off ", c.flags));
    EXPECT_EQ(run.exit_code, 1) << c.flags;
    EXPECT_THAT(run.output, HasSubstr(c.message));
    EXPECT_THAT(run.output, Not(HasSubstr("listening on "))) << c.flags;
  }
}

}  // namespace
}  // namespace winnow
