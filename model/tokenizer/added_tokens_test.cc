#include "model/tokenizer/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace winnow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

AddedToken Token(uint32_t id) {
  AddedToken token;
  token.id = id;
  return token;
}

// Pieces as "text" or "text=id".
std::vector<std::string> Cut(const AddedTokenMatcher& matcher, std::string_view text) {
  std::vector<AddedTokenPiece> pieces;
  matcher.Cut(text, &pieces);
  std::vector<std::string> result;
  for (const AddedTokenPiece& piece : pieces) {
    result.emplace_back(text.substr(piece.begin, piece.end - piece.begin));
    if (piece.id.has_value()) result.back() += "=" + std::to_string(*piece.id);
  }
  return result;
}

TEST(AddedTokenMatcherTest, LeftmostThenLongest) {
  AddedTokenMatcher matcher;
  matcher.Add("<a", Token(1));
  matcher.Add("<ab>", Token(2));
  matcher.Add("b>c", Token(3));
  EXPECT_THAT(Cut(matcher, "x<ab>cx"), ElementsAre("x", "<ab>=2", "cx"));
  EXPECT_THAT(Cut(matcher, "<ab"), ElementsAre("<a=1", "b"));
  EXPECT_THAT(Cut(matcher, "<<ab><a<"), ElementsAre("<", "<ab>=2", "<a=1", "<"));
  EXPECT_THAT(Cut(matcher, "ab>c"), ElementsAre("a", "b>c=3"));
  EXPECT_THAT(Cut(matcher, ""), IsEmpty());
}

TEST(AddedTokenMatcherTest, OfEqualPatternsTheFirstWins) {
  AddedTokenMatcher matcher;
  matcher.Add("x", Token(1));
  matcher.Add("x", Token(2));
  EXPECT_THAT(Cut(matcher, "x"), ElementsAre("x=1"));
}

TEST(AddedTokenMatcherTest, StripsWhiteSpace) {
  AddedTokenMatcher matcher;
  AddedToken both = Token(1);
  both.lstrip = both.rstrip = true;
  matcher.Add("<m>", both);
  EXPECT_THAT(Cut(matcher, "a \u3000<m>\t\nb"), ElementsAre("a", " \u3000<m>\t\n=1", "b"));
  EXPECT_THAT(Cut(matcher, "<m> <m>"), ElementsAre("<m> =1", "<m>=1"));
}

TEST(AddedTokenMatcherTest, SingleWord) {
  AddedTokenMatcher matcher;
  AddedToken word = Token(1);
  word.single_word = true;
  matcher.Add("cat", word);
  EXPECT_THAT(Cut(matcher, "cat, cats _cat cat\u0301 -cat"),
              ElementsAre("cat=1", ", cats _cat cat\u0301 -", "cat=1"));
}

}  // namespace
}  // namespace winnow
