// What never goes to the log: prompts (unless --log_requests), answers, and bearer tokens.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/test_certificates.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kSecret[] = "The code of the nimble cloud";
constexpr char kToken[] = "token-of-one-0123456789";

// Calls that end in many ways, all about kSecret.
std::vector<v1::GenerateRequest> SecretRequests() {
  std::vector<v1::GenerateRequest> requests(8, TextRequest(kSecret, 8));
  requests[1].mutable_sampling()->set_top_p(7);
  requests[2].set_model("other");
  requests[3].set_request_id("a\nb");
  requests[4].mutable_stop()->add_stop_token_ids(1 << 30);
  requests[5].mutable_output()->set_logprobs(1000);
  requests[6] = TextRequest(absl::StrCat(kSecret, "\xff"), 8);  // gRPC cannot parse it: no UTF-8
  requests[7].mutable_output()->set_logprobs(3);
  return requests;
}

TEST(LogPrivacyTest, NeitherPromptNorAnswerNorTokenByDefault) {
  Options options = TestOptions();
  options.auth_file = testing::TempDir() + "/tenants.json";
  WriteTestFile(options.auth_file,
                absl::StrCat(R"({"tenants": [{"name": "one", "tokens": [")", kToken, "\"]}]}"));
  TestServer server(options);
  server.model().SetStepTime(absl::Milliseconds(1));  // the reader below keeps up
  LogCapture log;
  std::vector<std::string> secrets = {kSecret, "nimble", kToken, "0123456789"};
  for (const std::string& bearer : {absl::StrCat("Bearer ", kToken), absl::StrCat("Basic ", kToken),
                                    absl::StrCat("Bearer ", kToken, "x")}) {
    Client client(server.address(), Connection{.metadata = {{"authorization", bearer}}});
    for (const v1::GenerateRequest& request : SecretRequests()) {
      const std::string answer = client.Generate(request).Text();
      if (!answer.empty()) secrets.push_back(answer);
    }
    v1::TokenizeRequest tokenize;
    tokenize.set_text(kSecret);
    v1::TokenizeResponse tokens;
    client.Tokenize(tokenize, &tokens);
    server.model().FailNextStep(absl::InternalError("broken"));
    client.Generate(TextRequest(kSecret, 8));
    std::unique_ptr<Call> cancelled = client.Start(TextRequest(kSecret, 1'000'000));
    v1::GenerateResponse message;
    cancelled->Read(&message);
    cancelled->Cancel();
    cancelled->Finish();
  }
  ASSERT_THAT(secrets, SizeIs(testing::Ge(6))) << "there were answers";
  EXPECT_TRUE(WaitUntil([&] { return log.Count(": CANCELLED") == 1; }));
  EXPECT_GE(log.Count("request "), 20);
  for (const std::string& secret : secrets) EXPECT_EQ(log.Count(secret), 0) << secret;
}

TEST(LogPrivacyTest, PromptsOnRequest) {
  Options options = TestOptions();
  options.log_requests = true;
  TestServer server(options);
  LogCapture log;
  Client client(server.address());
  v1::GenerateRequest request = TextRequest("two\nlines of \"text\"", 2);
  request.set_request_id("r-1");
  client.Generate(request);
  client.Generate(TextRequest(std::string(100'000, '\n'), 2));
  client.Generate(IdsRequest({5, 6, 7}, 2));
  EXPECT_THAT(log.lines(), Contains("request r-1: prompt \"two\\nlines of \\\"text\\\"\""));
  EXPECT_EQ(log.Count("prompt token ids 5 6 7"), 1);
  EXPECT_EQ(log.Count("\\n\"..."), 1) << "cut, not within an escape";
  for (const std::string& line : log.lines()) EXPECT_THAT(line, SizeIs(testing::Lt(1200)));
}

}  // namespace
}  // namespace winnow
