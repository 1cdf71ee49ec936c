#include "server/yaml_mapping.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<YamlEntry> Parsed(absl::string_view text) {
  const auto entries = ParseYamlMapping(text);
  EXPECT_TRUE(entries.ok()) << text << "\n" << entries.status();
  return entries.ok() ? *entries : std::vector<YamlEntry>();
}

TEST(YamlMappingTest, KindsAndLines) {
  const auto entries = Parsed(
      "# a comment\n"
      "plain: 10s  # another\n"
      "\n"
      "quoted: \"5\"\n"
      "single: '5'\n"
      "list: [a, \"b\"]\n"
      "block:\n  - 1\n  - 2\n"
      "nothing:\n"
      "tilde: ~\n"
      "mapping: {a: 1}\n"
      "nested: [[1]]\n"
      "text: |\n  one\n");
  ASSERT_THAT(entries, SizeIs(10));
  const YamlKind kinds[] = {YamlKind::kPlain, YamlKind::kQuoted,  YamlKind::kQuoted,
                            YamlKind::kList,  YamlKind::kList,    YamlKind::kNull,
                            YamlKind::kNull,  YamlKind::kComplex, YamlKind::kComplex,
                            YamlKind::kQuoted};
  const int lines[] = {2, 4, 5, 6, 7, 10, 11, 12, 13, 14};
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].kind, kinds[i]) << entries[i].key;
    EXPECT_EQ(entries[i].line, lines[i]) << entries[i].key;
  }
  EXPECT_THAT(entries[0].values, ElementsAre("10s"));
  EXPECT_THAT(entries[1].values, ElementsAre("5"));
  EXPECT_THAT(entries[3].values, ElementsAre("a", "b"));
  EXPECT_THAT(entries[4].values, ElementsAre("1", "2"));
  EXPECT_THAT(entries[9].values, ElementsAre("one\n"));
  EXPECT_THAT(entries[5].values, IsEmpty());
}

TEST(YamlMappingTest, Json) {
  const auto entries = Parsed(
      "{\n\t\"a\": 5,\n\t\"b\": true, \"c\": \"x\\ty \\u00e9\",\n\"d\": [1, 2], \"e\": null\n}\n");
  ASSERT_THAT(entries, SizeIs(5));
  EXPECT_EQ(entries[0].key, "a");
  EXPECT_EQ(entries[0].kind, YamlKind::kPlain);
  EXPECT_EQ(entries[1].values[0], "true");
  EXPECT_EQ(entries[2].values[0], "x\ty \xc3\xa9");
  EXPECT_THAT(entries[3].values, ElementsAre("1", "2"));
  EXPECT_EQ(entries[4].kind, YamlKind::kNull);
}

TEST(YamlMappingTest, NothingIsAnEmptyMapping) {
  for (const char* text : {"", "# only a comment\n", "---\n", "{}", "\n\n"}) {
    EXPECT_THAT(Parsed(text), IsEmpty()) << text;
  }
}

TEST(YamlMappingTest, WhatItRefusesAndWhere) {
  const struct {
    std::string text, message;
  } cases[] = {
      {"- a\n- b\n", "1: must be one mapping"},
      {"just words\n", "1: must be one mapping"},
      {"a: 1\nb: 2\na: 3\n", "3: a was given on line 1 already"},
      {"a: 1\n[b]: 2\n", "2: a name must be a text"},
      {"a: 1\n---\nb: 2\n", "3: a second document begins"},
      {"a: 1\nb: [1, 2\n", ": did not find expected ',' or ']'"},
      {"a: \"x\n", ": found unexpected end of stream"},
      {"a: 1\n\tb: 2\n", "2: "},
      {"a: \xff\n", "invalid leading UTF-8"},
      {"a: *b\n", "undefined alias"},
      {std::string(3000, '['), ""},
  };
  for (const auto& c : cases) {
    const auto entries = ParseYamlMapping(c.text);
    ASSERT_FALSE(entries.ok()) << c.text;
    EXPECT_THAT(std::string(entries.status().message()), HasSubstr(c.message)) << c.text;
  }
}

TEST(YamlMappingTest, ScalarsAreReadBack) {
  for (const std::string text : {"10s", "0.0.0.0:50051", "[::1]:0,unix:/tmp/s", "", " ", "null",
                                 "~", "a: b", "a #b", "tr\"ue\\", "line\nbreak\ttab\x7f", "-",
                                 "caf\xc3\xa9", "/a/b c", "x:", "@", "'", "4GiB", "- a"}) {
    const auto entries = Parsed("key: " + YamlScalar(text) + "\n");
    ASSERT_THAT(entries, SizeIs(1)) << text;
    ASSERT_THAT(entries[0].values, SizeIs(1)) << text;
    EXPECT_EQ(entries[0].values[0], text);
  }
  EXPECT_EQ(YamlScalar("10s"), "10s");
  EXPECT_EQ(YamlScalar("0.9"), "0.9");
  EXPECT_EQ(YamlScalar("127.0.0.1:50051"), "127.0.0.1:50051");
}

}  // namespace
}  // namespace winnow
