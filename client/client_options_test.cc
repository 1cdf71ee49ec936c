#include "client/client_options.h"

#include <vector>

#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ClientCommandLine Parse(std::vector<const char*> args, bool stdin_is_terminal = true) {
  args.insert(args.begin(), "winnow-client");
  return ParseClientCommandLine(static_cast<int>(args.size()), args.data(), stdin_is_terminal);
}

ClientOptions Parsed(std::vector<const char*> args, bool stdin_is_terminal = true) {
  const ClientCommandLine line = Parse(std::move(args), stdin_is_terminal);
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(ClientOptions());
}

TEST(ClientOptionsTest, PromptAloneLeavesDefaultsToTheServer) {
  const ClientOptions options = Parsed({"What is it?"});
  EXPECT_EQ(options.request.text(), "What is it?");
  EXPECT_EQ(options.server, "127.0.0.1:50051");
  EXPECT_FALSE(options.request.sampling().has_temperature());
  EXPECT_FALSE(options.request.sampling().has_seed());
  EXPECT_FALSE(options.request.stop().has_max_tokens());
  EXPECT_FALSE(options.request.output().has_logprobs());
  EXPECT_EQ(options.form, OutputForm::kText);
  EXPECT_FALSE(options.timeout.has_value());
}

TEST(ClientOptionsTest, EveryFlagReachesTheRequest) {
  const ClientOptions options = Parsed({"--server=unix:/tmp/s", "--prompt_ids=5,6,7",
                                        "--temperature=0",      "--top_k=4",
                                        "--top_p=0.5",          "--seed=18446744073709551615",
                                        "--max_tokens=0",       "--stop_token_ids=1,2",
                                        "--ignore_eos",         "--logprobs=0",
                                        "--prompt_logprobs=3",  "--token_ids",
                                        "--skip_text",          "--include_special_tokens",
                                        "--state_usage",        "--model=m",
                                        "--priority=-3",        "--request_id=r",
                                        "--timeout=1m30s",      "--quiet"});
  const v1::GenerateRequest& request = options.request;
  EXPECT_THAT(request.token_ids().ids(), ElementsAre(5, 6, 7));
  EXPECT_TRUE(request.sampling().has_temperature());
  EXPECT_EQ(request.sampling().top_k(), 4u);
  EXPECT_EQ(request.sampling().top_p(), 0.5f);
  EXPECT_EQ(request.sampling().seed(), UINT64_MAX);
  EXPECT_TRUE(request.stop().has_max_tokens());
  EXPECT_THAT(request.stop().stop_token_ids(), ElementsAre(1, 2));
  EXPECT_TRUE(request.stop().ignore_eos());
  EXPECT_TRUE(request.output().has_logprobs());
  EXPECT_EQ(request.output().prompt_logprobs(), 3u);
  EXPECT_TRUE(request.output().token_ids());
  EXPECT_TRUE(request.output().skip_text());
  EXPECT_TRUE(request.output().include_special_tokens());
  EXPECT_TRUE(request.output().state_usage());
  EXPECT_EQ(request.model(), "m");
  EXPECT_EQ(request.priority(), -3);
  EXPECT_EQ(request.request_id(), "r");
  EXPECT_EQ(options.server, "unix:/tmp/s");
  EXPECT_EQ(options.timeout, absl::Seconds(90));
  EXPECT_TRUE(options.quiet);
}

TEST(ClientOptionsTest, JsonForms) {
  EXPECT_EQ(Parsed({"x", "--json"}).form, OutputForm::kJson);
  EXPECT_EQ(Parsed({"x", "--json=stream"}).form, OutputForm::kJsonStream);
  EXPECT_EQ(Parse({"x", "--json=yaml"}).exit_code, kExitUsage);
  const ClientOptions options = Parsed({"--json", "--max_tokens=3", "x"});
  EXPECT_EQ(options.form, OutputForm::kJson);
  EXPECT_EQ(options.request.text(), "x");
}

TEST(ClientOptionsTest, JsonTakesNoPromptForItsForm) {
  const ClientOptions options = Parsed({"--json", "my prompt"});
  EXPECT_EQ(options.form, OutputForm::kJson);
  EXPECT_EQ(options.request.text(), "my prompt");
}

TEST(ClientOptionsTest, StandardInputUnlessItIsATerminal) {
  EXPECT_EQ(Parsed({}, /*stdin_is_terminal=*/false).prompt_file, "-");
  const ClientCommandLine line = Parse({});
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_THAT(line.text, HasSubstr("prompt"));
  EXPECT_EQ(Parsed({"--file=p.txt"}).prompt_file, "p.txt");
}

TEST(ClientOptionsTest, InfoAndLoadNeedNoPrompt) {
  EXPECT_EQ(Parsed({"--info"}).action, ClientAction::kModelInfo);
  EXPECT_EQ(Parsed({"--load"}).action, ClientAction::kLoad);
  EXPECT_EQ(Parse({"--info", "--load"}).exit_code, kExitUsage);
}

TEST(ClientOptionsTest, TlsAndToken) {
  EXPECT_FALSE(Parsed({"x"}).tls.enabled);
  const ClientOptions options =
      Parsed({"x", "--tls", "--tls_ca=ca.pem", "--tls_cert=me.pem", "--tls_key=me.key",
              "--tls_server_name=winnow", "--token_file=token"});
  EXPECT_TRUE(options.tls.enabled);
  EXPECT_EQ(options.tls.ca, "ca.pem");
  EXPECT_EQ(options.tls.cert, "me.pem");
  EXPECT_EQ(options.tls.key, "me.key");
  EXPECT_EQ(options.tls.server_name, "winnow");
  EXPECT_EQ(options.token_file, "token");
  EXPECT_EQ(Parse({"x", "--tls_ca=ca.pem"}).exit_code, kExitUsage) << "without --tls";
  EXPECT_EQ(Parse({"x", "--tls", "--tls_cert=me.pem"}).exit_code, kExitUsage) << "without its key";
}

TEST(ClientOptionsTest, WrongUsageIsExitCodeOne) {
  for (const char* flag : {"--temperature=warm", "--top_k=-1", "--timeout=0", "--timeout=5",
                           "--file=x", "--prompt_ids=1", "--nonsense"}) {
    EXPECT_EQ(Parse({"a prompt", flag}).exit_code, kExitUsage) << flag;
  }
}

TEST(ClientOptionsTest, HelpTellsTheExitCodes) {
  const ClientCommandLine line = Parse({"--help"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, HasSubstr(kExitCodesHelp));
}

}  // namespace
}  // namespace winnow
