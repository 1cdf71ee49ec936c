#include "client/client_options.h"

#include <algorithm>
#include <string>
#include <vector>

#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

ClientCommandLine Parse(std::vector<const char*> args, bool stdin_is_terminal = true) {
  args.insert(args.begin(), "winnow-client");
  return ParseClientCommandLine(static_cast<int>(args.size()), args.data(), stdin_is_terminal);
}

ClientOptions Parsed(std::vector<const char*> args, bool stdin_is_terminal = true) {
  const ClientCommandLine line = Parse(std::move(args), stdin_is_terminal);
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(ClientOptions());
}

// The names of the fields of a request that are not set, down to those of its parts' parts.
std::vector<std::string> UnsetFields(const google::protobuf::Message& message,
                                     const std::string& path) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  reflection.ListFields(message, &set);
  std::vector<std::string> unset;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const auto* field = message.GetDescriptor()->field(i);
    if (std::find(set.begin(), set.end(), field) == set.end()) {
      unset.push_back(path + field->name());
    } else if (field->cpp_type() == field->CPPTYPE_MESSAGE && !field->is_repeated()) {
      const auto below =
          UnsetFields(reflection.GetMessage(message, field), path + field->name() + ".");
      unset.insert(unset.end(), below.begin(), below.end());
    }
  }
  return unset;
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
  const ClientOptions options = Parsed({"--server=unix:/tmp/s",
                                        "--prompt_ids=5,6,7",
                                        "--min_p=0.25",
                                        "--n=3",
                                        "--repetition_penalty=1.5",
                                        "--frequency_penalty=-2",
                                        "--presence_penalty=0.5",
                                        "--logit_bias=17:-2.5,4:1",
                                        "--logit_bias=9:3",
                                        "--min_tokens=2",
                                        "--include_stop_text",
                                        "--stop=\\n\\n",
                                        "--stop=a,b",
                                        "--temperature=0",
                                        "--top_k=4",
                                        "--top_p=0.5",
                                        "--seed=18446744073709551615",
                                        "--max_tokens=0",
                                        "--stop_token_ids=1,2",
                                        "--ignore_eos",
                                        "--logprobs=0",
                                        "--prompt_logprobs=3",
                                        "--token_ids",
                                        "--skip_text",
                                        "--include_special_tokens",
                                        "--state_usage",
                                        "--model=m",
                                        "--priority=-3",
                                        "--request_id=r",
                                        "--timeout=1m30s",
                                        "--quiet"});
  const v1::GenerateRequest& request = options.request;
  EXPECT_THAT(request.token_ids().ids(), ElementsAre(5, 6, 7));
  EXPECT_TRUE(request.sampling().has_temperature());
  EXPECT_EQ(request.sampling().top_k(), 4u);
  EXPECT_EQ(request.sampling().top_p(), 0.5f);
  EXPECT_EQ(request.sampling().min_p(), 0.25f);
  EXPECT_EQ(request.sampling().repetition_penalty(), 1.5f);
  EXPECT_EQ(request.sampling().frequency_penalty(), -2.0f);
  EXPECT_EQ(request.sampling().presence_penalty(), 0.5f);
  EXPECT_THAT(request.sampling().logit_bias(),
              UnorderedElementsAre(Pair(17, -2.5f), Pair(4, 1.0f), Pair(9, 3.0f)));
  EXPECT_EQ(request.sampling().seed(), UINT64_MAX);
  EXPECT_EQ(request.sampling().n(), 3u);
  EXPECT_TRUE(request.stop().has_max_tokens());
  EXPECT_EQ(request.stop().min_tokens(), 2u);
  EXPECT_THAT(request.stop().stop(), ElementsAre("\n\n", "a,b"));
  EXPECT_TRUE(request.stop().include_stop_text());
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
  EXPECT_THAT(UnsetFields(request, ""), ElementsAre("text")) << "the other kind of prompt";
}

TEST(ClientOptionsTest, ValuesEndWhereTheFlagEnds) {
  for (const char* value : {"[END]", "a b"}) {
    const ClientOptions options = Parsed({"--stop", value, "a prompt"});
    EXPECT_THAT(options.request.stop().stop(), ElementsAre(value));
    EXPECT_EQ(options.request.text(), "a prompt");
  }
  EXPECT_EQ(Parsed({"--logit_bias", "1:2,3:4", "a prompt"}).request.text(), "a prompt");
  EXPECT_EQ(Parsed({"--stop_token_ids", "1,2", "a prompt"}).request.text(), "a prompt");
}

TEST(ClientOptionsTest, ErrorsNameFlagAndValue) {
  const struct {
    const char* flag;
    std::vector<const char*> parts;
  } cases[] = {
      {"--stop=a\\x", {"--stop=a\\x", "\\n"}},
      {"--logit_bias=17", {"--logit_bias=17", "ID:BIAS", "4294967295"}},
      {"--logit_bias=1:2,1:3", {"--logit_bias=1:2,1:3", "token 1"}},
      {"--n=two", {"--n", "two"}},
      {"--min_p=x", {"--min_p", "x"}},
      {"--min_tokens=-1", {"--min_tokens", "-1"}},
      {"--frequency_penalty=much", {"--frequency_penalty", "much"}},
      {"--priority=high", {"--priority", "high"}},
  };
  for (const auto& c : cases) {
    const ClientCommandLine line = Parse({"a prompt", c.flag});
    EXPECT_EQ(line.exit_code, kExitUsage) << c.flag;
    for (const char* part : c.parts) EXPECT_THAT(line.text, HasSubstr(part));
  }
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
}

TEST(ClientOptionsTest, OneActionAtATime) {
  EXPECT_EQ(Parse({"--info", "--load"}).exit_code, kExitUsage);
  const ClientCommandLine line = Parse({"--load", "--tokenize", "x"});
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_THAT(line.text, AllOf(HasSubstr("--load"), HasSubstr("--tokenize")));
  EXPECT_EQ(Parse({"--info", "--json=stream"}).exit_code, kExitUsage);
}

TEST(ClientOptionsTest, TokenizeTakesTextFromAnywhere) {
  const ClientOptions options = Parsed({"--tokenize", "--skip_special_tokens", "--json", "Ada"});
  EXPECT_EQ(options.action, ClientAction::kTokenize);
  EXPECT_EQ(options.form, OutputForm::kJson);
  EXPECT_TRUE(options.skip_special_tokens);
  EXPECT_EQ(options.request.text(), "Ada");
  EXPECT_EQ(Parsed({"--tokenize"}, /*stdin_is_terminal=*/false).prompt_file, "-");
  EXPECT_EQ(Parse({"--tokenize"}).exit_code, kExitUsage) << "no text";
  EXPECT_EQ(Parse({"--tokenize", "--prompt_ids=1"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"--skip_special_tokens", "x"}).exit_code, kExitUsage) << "not --tokenize";
}

TEST(ClientOptionsTest, DetokenizeTakesIds) {
  const ClientOptions options =
      Parsed({"--detokenize", "--include_special_tokens", "--prompt_ids=5,6"});
  EXPECT_EQ(options.action, ClientAction::kDetokenize);
  EXPECT_TRUE(options.request.output().include_special_tokens());
  EXPECT_THAT(options.request.token_ids().ids(), ElementsAre(5, 6));
  const ClientCommandLine line = Parse({"--detokenize", "Ada"});
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_THAT(line.text, HasSubstr("--prompt_ids"));
  EXPECT_EQ(Parse({"--detokenize"}, /*stdin_is_terminal=*/false).exit_code, kExitUsage);
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
  EXPECT_THAT(line.text, HasSubstr("--stop='\\n\\n'")) << "the examples";
}

}  // namespace
}  // namespace winnow
