#include "model/json.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/json_fields.h"

namespace winnow {
namespace {

using testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  return std::string(ParseStrictJson(text).status().message());
}

TEST(StrictJsonTest, ParsesADocument) {
  const auto json =
      ParseStrictJson(R"( {"a": [1, -2, 3.5, "\u00e9", null, true], "b": {"a": 1}} )");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["a"][1], -2);
  EXPECT_EQ((*json)["a"][3], "\xc3\xa9");
}

TEST(StrictJsonTest, RefusesWhatIsNotJson) {
  for (const std::string text : {"", " ", "{", "[1,]", "{\"a\":1} x", "{'a': 1}", "{\"a\": NaN}",
                                 "{\"a\": Infinity}", "{\"a\": 1e999}", "// c\n{}", "\"\xff\"",
                                 "\"\xed\xa0\x80\"", "\"\\ud800\"", "{\"a\": 01}"}) {
    EXPECT_THAT(ErrorOf(text), HasSubstr("not valid JSON")) << text;
  }
}

TEST(StrictJsonTest, RefusesNulBytesThatWouldHideARest) {
  EXPECT_THAT(ErrorOf(std::string("{}\0{", 4)), HasSubstr("NUL at byte 2"));
}

TEST(StrictJsonTest, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_THAT(ErrorOf(R"({"a": 1, "a": 1})"), HasSubstr("\"a\" stands twice"));
  EXPECT_THAT(ErrorOf(R"({"x": [{"b": {"c": 1, "d": 2, "c": 3}}]})"), HasSubstr("\"c\" stands"));
  EXPECT_TRUE(ParseStrictJson(R"([{"a": 1}, {"a": 1}])").ok());
}

TEST(StrictJsonTest, RefusesDeepNesting) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseStrictJson(nested(kMaxJsonDepth)).ok());
  EXPECT_THAT(ErrorOf(nested(kMaxJsonDepth + 2)), HasSubstr("deeper than 32"));
  EXPECT_THAT(ErrorOf(nested(100'000)), HasSubstr("deeper than 32"));
}

TEST(StrictJsonTest, MessagesAreShortAndPrintable) {
  const std::string message = ErrorOf("\"" + std::string(10'000, '\x01'));
  EXPECT_LT(message.size(), 300u);
  for (const char c : message) EXPECT_TRUE(' ' <= c && c <= '~');
  EXPECT_EQ(JsonExcerpt(std::string(1000, 'x')).size(), 80u);
  EXPECT_EQ(JsonExcerpt("\xff\xc3\xa9"), R"("\ufffd\u00e9")");
}

nlohmann::json Object(std::string_view text) { return *ParseStrictJson(text); }

TEST(JsonFieldsTest, ReadsValuesAndFallbacks) {
  const auto json = Object(R"({"i": 3, "n": null, "d": 0.5, "b": true, "s": "x", "l": [1, 2]})");
  JsonFields fields(json, "");
  EXPECT_EQ(fields.Int("i", 0, 5), 3);
  EXPECT_EQ(fields.Int("absent", 0, 5, 4), 4);
  EXPECT_EQ(fields.NullableInt("n", 0, 5), std::nullopt);
  EXPECT_EQ(fields.NullableInt("absent2", 0, 5), std::nullopt);
  EXPECT_EQ(fields.Number("d", 0, 1, 0.25), 0.5);
  EXPECT_EQ(fields.Number("i", 0, 10, 0.25), 3);
  EXPECT_TRUE(fields.Bool("b", false));
  EXPECT_EQ(fields.String("s"), "x");
  EXPECT_EQ(fields.Choice("s", {"w", "x"}, 0), 1u);
  EXPECT_THAT(fields.IntList("l", 1, 2, 0, 2), testing::ElementsAre(1, 2));
  EXPECT_TRUE(fields.Finish().ok()) << fields.Finish();
}

TEST(JsonFieldsTest, NamesFieldValueAndWhatIsAllowed) {
  const auto json = Object(R"({"heads": 0, "f": 3.0, "big": 18446744073709551615, "n": null})");
  const auto error = [&](auto read) {
    JsonFields fields(json, "attn.");
    read(fields);
    return std::string(fields.Finish().message());
  };
  EXPECT_EQ(error([](JsonFields& f) { f.Int("heads", 1, 8); }),
            "attn.heads is 0: must be a whole number in 1..8");
  EXPECT_EQ(error([](JsonFields& f) { f.Int("f", 1, 8); }),
            "attn.f is 3.0: must be a whole number in 1..8");
  EXPECT_EQ(error([](JsonFields& f) { f.Int("big", -1, INT64_MAX); }),
            "attn.big is 18446744073709551615: must be a whole number in -1..9223372036854775807");
  EXPECT_EQ(error([](JsonFields& f) { f.Int("n", 1, 8, 2); }),
            "attn.n is null: must be a whole number in 1..8");
  EXPECT_EQ(error([](JsonFields& f) { f.Bool("heads", true); }),
            "attn.heads is 0: must be true or false");
  EXPECT_EQ(error([](JsonFields& f) { f.Int("x", 1, 8); }), "attn.x is missing");
  EXPECT_EQ(error([](JsonFields& f) {
              f.Choice("n", {"a", "b"}, 0);
            }),
            "attn.n is null: must be one of \"a\", \"b\"");
  EXPECT_EQ(error([](JsonFields& f) { f.Expect("f", 2.0); }),
            "attn.f is 3.0: only 2.0 is supported");
  EXPECT_THAT(error([](JsonFields& f) {
                f.Ignore({{"heads", "big", "n"}});
              }),
              HasSubstr("unknown field \"attn.f\" (value 3.0)"));
}

TEST(JsonFieldsTest, TheFirstErrorWins) {
  const auto json = Object(R"({"a": 0, "b": 0})");
  JsonFields fields(json, "");
  fields.Int("a", 1, 2);
  fields.Int("b", 1, 2);
  EXPECT_THAT(std::string(fields.Finish().message()), HasSubstr("a is 0"));
}

TEST(JsonFieldsTest, AnythingButAnObjectIsOneError) {
  const auto json = Object("[1]");
  JsonFields fields(json, "attn.");
  fields.Int("a", 1, 2);
  EXPECT_EQ(fields.Finish().message(), "attn is [1]: must be an object");
  EXPECT_EQ(JsonFields(json, "").Finish().message(), "the document is [1]: must be an object");
}

}  // namespace
}  // namespace winnow
