#include "client/load/requests_file.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RequestsFileTest, ReadsEveryKindOfLine) {
  const auto requests = ParseRequests(
      "{\"prompt\": \"Hello \\u00e9\", \"output_tokens\": 7}\n"
      "\n"
      "{\"prompt_token_ids\": [5, 4294967295]}\r\n"
      "{\"prompt_tokens\": 300}\n"
      "{}");
  ASSERT_TRUE(requests.ok()) << requests.status();
  ASSERT_EQ(requests->size(), 4u);
  EXPECT_EQ((*requests)[0].prompt, "Hello \u00e9");
  EXPECT_EQ((*requests)[0].output_tokens, 7);
  EXPECT_THAT((*requests)[1].prompt_token_ids, ElementsAre(5u, 4294967295u));
  EXPECT_EQ((*requests)[2].prompt_tokens, 300);
  EXPECT_THAT((*requests)[3].prompt_token_ids, IsEmpty());
  EXPECT_FALSE((*requests)[3].prompt.has_value() || (*requests)[3].output_tokens.has_value());
}

TEST(RequestsFileTest, ErrorsNameLineFieldValueAndRange) {
  const struct {
    const char *line, *field, *why;
  } cases[] = {
      {"[1]", "line 2", "no JSON object"},
      {"{\"prompt\":", "line 2", "no JSON object"},
      {"{\"prompt\": 5}", "\"prompt\" is 5", "a text"},
      {"{\"prompt\": \"\"}", "\"prompt\" is \"\"", "not empty"},
      {"{\"prompt_token_ids\": []}", "\"prompt_token_ids\" is []", "at least one"},
      {"{\"prompt_token_ids\": [-1]}", "\"prompt_token_ids\" is -1", "token ids"},
      {"{\"prompt_tokens\": 0}", "\"prompt_tokens\" is 0", "1 to 1000000"},
      {"{\"output_tokens\": 1.5}", "\"output_tokens\" is 1.5", "1 to 1000000"},
      {"{\"max_tokens\": 4}", "\"max_tokens\" is unknown", "\"output_tokens\""},
      {"{\"prompt\": \"a\", \"prompt_tokens\": 4}", "line 2", "several prompts"},
  };
  for (const auto& wrong : cases) {
    const auto requests = ParseRequests(absl::StrCat("{}\n", wrong.line, "\n"));
    EXPECT_THAT(requests.status().message(),
                AllOf(HasSubstr("line 2"), HasSubstr(wrong.field), HasSubstr(wrong.why)))
        << wrong.line;
  }
  EXPECT_THAT(ParseRequests("\n \n").status().message(), HasSubstr("no request"));
}

}  // namespace
}  // namespace winnow::load
