#include "server/choice_text.h"

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/stop_text_matcher.h"

namespace winnow {
namespace {

const Tokenizer& DemoTokenizer() {
  static const std::unique_ptr<const Tokenizer> tokenizer =
      Tokenizer::Load("deploy/demo-model/tokenizer.json").value();
  return *tokenizer;
}

std::vector<uint32_t> Encode(const std::string& text) {
  return DemoTokenizer().Encode(text, false).value();
}

// Everything that is shown of these tokens.
std::string Shown(const std::vector<uint32_t>& tokens, const StopStrings& stops,
                  const TextRules& rules) {
  ChoiceText text(&DemoTokenizer(), &stops, &rules);
  std::string shown;
  for (const uint32_t token : tokens) shown += text.Append(token);
  return shown + text.Flush();
}

TEST(ChoiceTextTest, WithoutRulesItIsTheTokensText) {
  const StopStrings none({});
  EXPECT_EQ(Shown(Encode("the caf\xc3\xa9 is 5\xe2\x82\xac"), none, {}),
            "the caf\xc3\xa9 is 5\xe2\x82\xac");
}

TEST(ChoiceTextTest, StopTokensHaveNoTextUnlessItIsWanted) {
  const StopStrings none({});
  std::vector<uint32_t> tokens = Encode("the code");
  const uint32_t stop = Encode(" is").back();
  tokens.push_back(stop);
  EXPECT_EQ(Shown(tokens, none, {.stop_token_ids = {stop}}), "the code");
  EXPECT_EQ(Shown(tokens, none, {.include_stop_text = true, .stop_token_ids = {stop}}),
            "the code is");
  EXPECT_EQ(Shown(tokens, none,
                  {.min_tokens = static_cast<uint32_t>(tokens.size()), .stop_token_ids = {stop}}),
            "the code is")
      << "too early to stop: a token like any other";
}

TEST(ChoiceTextTest, AStopTokenFlushesWhatWasHeldBack) {
  const StopStrings stops({"code is 5"});
  std::vector<uint32_t> tokens = Encode("the code is");
  const uint32_t stop = Encode("x").back();
  tokens.push_back(stop);
  EXPECT_EQ(Shown(tokens, stops, {.stop_token_ids = {stop}}), "the code is");
}

TEST(ChoiceTextTest, HalfACharacterAtTheEndIsAReplacementCharacter) {
  const StopStrings stops({"\xe2\x82\xac"});
  std::vector<uint32_t> tokens = Encode("5\xe2\x82\xac");
  tokens.pop_back();
  EXPECT_EQ(Shown(tokens, stops, {}), "5\xef\xbf\xbd");
}

// The matcher on the engine's side ends at the very token at which the text does.
TEST(ChoiceTextTest, AgreesWithTheSchedulersMatcherOnRandomTokens) {
  std::mt19937 random(7);
  const std::vector<uint32_t> letters = Encode("abc \xe2\x82\xac\xc3\xa9.");
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint32_t> tokens;
    for (int i = 0; i < 30; ++i) tokens.push_back(letters[random() % letters.size()]);
    // A piece of the text itself, so that there is something to find.
    const StopStrings none({});
    const std::string all = Shown(tokens, none, {});
    std::vector<std::string> texts = {"a\xc3\xa9", " ."};
    texts.push_back(all.substr(0, 1 + random() % 4));
    if ((static_cast<unsigned char>(texts.back().back()) & 0x80) != 0) texts.pop_back();
    const auto stops = std::make_shared<const StopStrings>(texts);
    const TextRules rules = {.min_tokens = static_cast<uint32_t>(random() % 10)};
    StopTextMatcher matcher(&DemoTokenizer(), stops, false);
    std::optional<std::string> stop;
    std::vector<uint32_t> taken;
    for (const uint32_t token : tokens) {
      taken.push_back(token);
      stop = matcher.Append(token, taken.size() > rules.min_tokens);
      if (stop.has_value()) break;
    }
    const std::string until = Shown(taken, none, {});
    const std::string shown = Shown(tokens, *stops, rules);
    if (!stop.has_value()) {
      ASSERT_EQ(shown, all);
      continue;
    }
    // The stop string lies within the text of the tokens up to the one that completes it.
    const size_t end = until.find(*stop, shown.size());
    ASSERT_EQ(end, shown.size()) << until << " | " << shown << " | " << *stop;
    ASSERT_EQ(Shown(taken, *stops, rules), shown);
  }
}

}  // namespace
}  // namespace winnow
