#include "server/stop_scanner.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

// What the scanner must find, by looking at the whole text.
struct Naive {
  std::string shown;
  std::string stop_text;  // empty: none
};

Naive Scan(const std::string& text, const std::vector<std::string>& stops, size_t first_end,
           bool include) {
  for (size_t end = first_end; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops) {
      const bool ends =
          end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0;
      if (ends && stop.size() > longest.size()) longest = stop;
    }
    if (!longest.empty()) return {text.substr(0, include ? end : end - longest.size()), longest};
  }
  return {text, ""};
}

std::string RandomText(std::mt19937& random, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text.push_back("aab"[random() % 3]);
  return text;
}

TEST(StopScannerTest, FindsAcrossPiecesAndDropsTheRest) {
  const StopStrings stops({"User:"});
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("Hello U", true), "Hello ");
  EXPECT_EQ(scanner.Append("nited Us", true), "United ");
  EXPECT_EQ(scanner.Append("er: more", true), "");
  ASSERT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.stop_text(), "User:");
  EXPECT_EQ(scanner.Append("even more", true), "");
  EXPECT_EQ(scanner.Flush(), "");
}

TEST(StopScannerTest, IncludesTheStopTextIfAsked) {
  const StopStrings stops({"\n\n"});
  StopScanner scanner(&stops, true);
  EXPECT_EQ(scanner.Append("a\n", true), "a");
  EXPECT_EQ(scanner.Append("\nb", true), "\n\n");
  EXPECT_TRUE(scanner.stopped());
}

TEST(StopScannerTest, WhatWasHeldBackComesOutAtTheEnd) {
  const StopStrings stops({"abcd"});
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("xabc", true), "x");
  EXPECT_EQ(scanner.Flush(), "abc");
  EXPECT_FALSE(scanner.stopped());
}

TEST(StopScannerTest, TheFirstThatIsCompleteCountsAndOfThoseTheLongest) {
  const StopStrings stops({"bcd", "c", "abc"});
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("xabcd", true), "x");
  EXPECT_EQ(scanner.stop_text(), "abc");
}

TEST(StopScannerTest, WhatIsCompleteTooEarlyDoesNotCountButMayOverlapWhatDoes) {
  const StopStrings stops({"aa"});
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("aa", false), "a") << "its last byte may begin another";
  EXPECT_EQ(scanner.Append("a", true), "");
  EXPECT_TRUE(scanner.stopped());
}

TEST(StopScannerTest, WithoutStopStringsNothingIsHeldBack) {
  const StopStrings stops({});
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("anything", true), "anything");
  EXPECT_EQ(scanner.Flush(), "");
}

// Characters of several bytes: what is shown is always whole ones.
TEST(StopScannerTest, HoldsBackWholeCharacters) {
  const StopStrings stops({"\xe2\x82\xac\xe2\x82\xac"});  // two euro signs
  StopScanner scanner(&stops, false);
  EXPECT_EQ(scanner.Append("5\xe2\x82\xac", true), "5");
  EXPECT_EQ(scanner.Append("\xe2\x82\xa9", true), "\xe2\x82\xac\xe2\x82\xa9");  // a won sign
}

TEST(StopScannerTest, RandomTextsAndPiecesAgreeWithALookAtTheWhole) {
  std::mt19937 random(20261125);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> texts;
    for (uint32_t n = random() % 4; n > 0; --n)
      texts.push_back(RandomText(random, 1 + random() % 6));
    const std::string text = RandomText(random, random() % 40);
    const size_t min_pieces = random() % 5;
    const bool include = random() % 2 == 0;
    const StopStrings stops(texts);
    StopScanner scanner(&stops, include);
    std::string shown;
    size_t begin = 0, first_end = 1;
    for (size_t piece = 0; begin < text.size(); ++piece) {
      const size_t size = std::min<size_t>(text.size() - begin, random() % 5);
      const bool may_stop = piece >= min_pieces;
      shown += scanner.Append(text.substr(begin, size), may_stop);
      begin += size;
      if (!may_stop) first_end = begin + 1;
      // What is shown so far is a beginning of what will be.
      ASSERT_EQ(text.compare(0, shown.size(), shown), 0);
    }
    shown += scanner.Flush();
    const Naive expected = Scan(text, texts, first_end, include);
    ASSERT_EQ(shown, expected.shown) << text;
    ASSERT_EQ(scanner.stopped() ? scanner.stop_text() : "", expected.stop_text) << text;
  }
}

}  // namespace
}  // namespace winnow
