#include "model/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/regex_syntax.h"

namespace winnow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kQwen[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

std::vector<std::string> Matches(const std::string& pattern, std::string_view text) {
  const auto regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  if (!regex.ok()) return {};
  std::vector<MatchSpan> spans;
  EXPECT_TRUE(regex->Cut(text, &spans).ok());
  std::vector<std::string> matches;
  for (const MatchSpan& span : spans) {
    if (span.is_match) matches.emplace_back(text.substr(span.begin, span.end - span.begin));
  }
  return matches;
}

TEST(RegexTest, CutsAllOfTheText) {
  const auto regex = Regex::Compile("a+");
  std::vector<MatchSpan> spans;
  ASSERT_TRUE(regex->Cut("baab", &spans).ok());
  EXPECT_THAT(spans,
              ElementsAre(MatchSpan{0, 1, false}, MatchSpan{1, 3, true}, MatchSpan{3, 4, false}));
  ASSERT_TRUE(regex->Cut("aa", &spans).ok());
  EXPECT_THAT(spans, ElementsAre(MatchSpan{0, 2, true}));
  ASSERT_TRUE(regex->Cut("", &spans).ok());
  EXPECT_THAT(spans, ElementsAre(MatchSpan{0, 0, false}));
  ASSERT_TRUE(Regex::Compile("a*")->Cut("éa", &spans).ok());
  EXPECT_THAT(spans,
              ElementsAre(MatchSpan{0, 0, true}, MatchSpan{0, 2, false}, MatchSpan{2, 3, true}));
}

TEST(RegexTest, ReadsTheFormatsSyntax) {
  EXPECT_THAT(Matches("\\s", "a \u180e\u3000\u0085"), ElementsAre(" ", "\u3000", "\u0085"));
  EXPECT_THAT(Matches("[^\\s]+", " a\u180e "), ElementsAre("a\u180e"));
  EXPECT_THAT(Matches("[\\S]+", " a\u180e "), ElementsAre("a\u180e"));
  EXPECT_THAT(Matches("\\w+", "a\u0301_9² -Ⅷ"), ElementsAre("a\u0301_9²", "Ⅷ"));
  EXPECT_THAT(Matches("\\d+", "12٣²"), ElementsAre("12٣"));
  EXPECT_THAT(Matches("\\p{Han}+", "世々、a"), ElementsAre("世々"));
  EXPECT_THAT(Matches("\\p{^L}", "a1"), ElementsAre("1"));
  EXPECT_THAT(Matches("\\P{Letter}", "a1"), ElementsAre("1"));
  EXPECT_THAT(Matches("[0-9]{2}+", "12345"), ElementsAre("1234"));
  EXPECT_THAT(Matches("x{,2}y", "xxxy"), ElementsAre("xxy"));
  EXPECT_THAT(Matches("{a|b{c", "{a b{c"), ElementsAre("{a", "b{c"));
  EXPECT_THAT(Matches("^.$", "a\nb\r\nc"), ElementsAre("a", "c"));
  EXPECT_THAT(Matches("(?i)ß|K|S", "\u212a ſ"), ElementsAre("\u212a", "ſ"));
  EXPECT_THAT(Matches("(?i:a)b", "Ab aB"), ElementsAre("Ab"));
  EXPECT_THAT(Matches("[a\\-c]|[x-]|[\\]]", "b-]"), ElementsAre("-", "]"));
  EXPECT_THAT(Matches("\\u00e9\\x{4e16}\\x41", "é世A"), ElementsAre("é世A"));
  EXPECT_THAT(Matches("[\\n!-/]+", "a+\n/"), ElementsAre("+\n/"));
}

class RefusedRegexTest : public testing::TestWithParam<const char*> {};
TEST_P(RefusedRegexTest, SaysWhy) {
  const auto regex = Regex::Compile(GetParam());
  ASSERT_FALSE(regex.ok());
  EXPECT_EQ(regex.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(regex.status().message()), HasSubstr("regular expression"));
}
INSTANTIATE_TEST_SUITE_P(Patterns, RefusedRegexTest,
                         testing::Values("(a)\\1", "\\bfoo", "\\h", "(?<n>a)", "(?P<n>a)", "(?s).",
                                         "(?x)a", "a(?i)b", "[[:alpha:]]", "[a[b]]", "[a&&b]",
                                         "[]a]", "[a", "(a", "a)", "*a", "a**", "a{2}?", "{2}",
                                         "\\xe9", "\\x{}", "\\x{zz}", "\\x{110000}", "\\u12",
                                         "\\pL", "\\p{Nonsense}", "\\p{L", "\\K", "\\R", "\\Q",
                                         "[\\W]", "[\\w-x]", "[a-\\s]", "[a--]", "[z-a]", "a\\",
                                         "[a\\", "[a-", "(?#x)", "(?R)", "(*FAIL)", "a{70000}",
                                         "(?<=a+)b", "^*", "(?=a)*"));

// Windows are an implementation's matter: the smallest must give what the largest does.
TEST(RegexTest, WindowsDoNotChangeMatches) {
  const std::vector<std::string> strings = ReadRecordedStrings();
  for (const char* pattern :
       {kQwen, "\\s+(?!\\S)|a*?b", "(?<=e)t|x*", ".+$", "[a-z]+(?= [a-z])", "\\z|^"}) {
    const auto whole = Regex::Compile(pattern, 1 << 20);
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (const size_t window : {1, 2, 3, 7, 16}) {
      const auto regex = Regex::Compile(pattern, window);
      for (size_t i = 0; i < strings.size(); i += 5) {
        std::vector<MatchSpan> expected, actual;
        ASSERT_TRUE(whole->Cut(strings[i], &expected).ok());
        const absl::Status status = regex->Cut(strings[i], &actual);
        ASSERT_TRUE(status.ok()) << status << pattern << window << " "
                                 << nlohmann::json(strings[i]);
        ASSERT_EQ(actual, expected) << pattern << window << " " << nlohmann::json(strings[i]);
      }
    }
  }
}

// Expressions that take quadratic or exponential time end with an error, soon.
TEST(RegexTest, NoTextHangsASearch) {
  const std::string letters(1'000'000, 'a');
  for (const char* pattern : {"(?:a+)+[bc]", "(?:a|a)*[bc]", "a+[bc]", "a*+[bc]",
                              "(?:a(?:a(?:a)*)*)*[bc]", "a(?=a*[bc])", "(?<=a)a*[bc]"}) {
    std::vector<MatchSpan> spans;
    const absl::Status status = Regex::Compile(pattern)->Cut(letters, &spans);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << pattern << status;
  }
}

TEST(RegexTest, LongMatchesAreFine) {
  const std::string spaces(3'000'000, ' ');
  std::vector<MatchSpan> spans;
  ASSERT_TRUE(Regex::Compile(kQwen)->Cut(spaces + "a", &spans).ok());
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].end, spaces.size() - 1);
  const std::string digits(3'000'000, '7');
  ASSERT_TRUE(Regex::Compile("\\p{N}{1,3}+")->Cut(digits, &spans).ok());
  EXPECT_EQ(spans.size(), 1u);
}

TEST(RegexTest, LiteralsMatchThemselves) {
  for (const std::string literal : {"a.b", "\\s", "[x]", "$^", "世(", " ", "#", "\\E"}) {
    std::vector<MatchSpan> spans;
    ASSERT_TRUE(Regex::CompileLiteral(literal)->Cut("xy" + literal + literal, &spans).ok());
    EXPECT_EQ(spans.size(), 3u) << literal;
  }
}

}  // namespace
}  // namespace winnow
