#include "model/safetensors.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing/test_files.h"

namespace winnow {
namespace {

using testing::HasSubstr;
using testing_files::NewDirectory;
using testing_files::SafetensorsBytes;
using testing_files::WriteFile;

TEST(SafetensorsTest, ReadsEveryGoldenFile) {
  for (const std::string kind : {"gdn", "swa", "attn", "lte", "nsa"}) {
    for (const std::string name : {"model", "expected"}) {
      const auto file =
          SafetensorsFile::Open(absl::StrCat("tests/golden/", kind, "/", name, ".safetensors"));
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_FALSE(file->entries().empty());
    }
  }
  const auto file = SafetensorsFile::Open("tests/golden/lte/expected.safetensors");
  const SafetensorsEntry& tokens = file->entries().at("tokens");
  EXPECT_EQ(tokens.dtype, "I64");
  EXPECT_THAT(tokens.shape, testing::ElementsAre(150));
  EXPECT_EQ(tokens.size_bytes, 1200);
}

TEST(SafetensorsTest, ReadsShapesTypesMetadataAndBytes) {
  const std::string header =
      R"({"__metadata__": {"format": "pt", "x": ""},)"
      R"("b": {"data_offsets": [4, 6], "shape": [], "dtype": "BF16"},)"
      R"("a\u00e9": {"dtype": "U8", "shape": [2, 2], "data_offsets": [0, 4]},)"
      R"("none": {"dtype": "F64", "shape": [3, 0], "data_offsets": [4, 4]}}   )";
  const std::string bytes = SafetensorsBytes(header, "abcdef");
  SafetensorsMetadata metadata;
  const auto entries = ParseSafetensors(bytes, &metadata);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(metadata.at("format"), "pt");
  const SafetensorsEntry& b = entries->at("b");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b.data), b.size_bytes), "ef");
  EXPECT_TRUE(b.shape.empty());
  EXPECT_THAT(entries->at("a\xc3\xa9").shape, testing::ElementsAre(2, 2));
  EXPECT_EQ(entries->at("none").size_bytes, 0);
  EXPECT_TRUE(ParseSafetensors(bytes, nullptr).ok());
}

TEST(SafetensorsTest, AFileWithoutTensorsIsValid) {
  EXPECT_TRUE(ParseSafetensors(SafetensorsBytes("{}", ""), nullptr).ok());
}

struct Bad {
  std::string file;
  std::string message;
};

// One tensor entry with the rest of its fields.
std::string Entry(const std::string& fields) { return "{\"t\": {" + fields + "}}"; }

TEST(SafetensorsTest, RefusesWrongFraming) {
  const std::string good = SafetensorsBytes("{}", "");
  const std::vector<Bad> cases = {
      {"", "only 0 bytes"},
      {good.substr(0, 7), "only 7 bytes"},
      {good.substr(0, 8), "truncated"},
      {good.substr(0, 9), "truncated"},
      {std::string(8, '\xff') + "{}", "at most 100000000"},
      {std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10), "header of 100000001 bytes"},
      {std::string("\0\xe1\xf5\x05\0\0\0\0{}", 10), "truncated"},
      {SafetensorsBytes("", ""), "does not begin with '{'"},
      {SafetensorsBytes(" {}", ""), "does not begin with '{'"},
      {SafetensorsBytes("[]", ""), "does not begin with '{'"},
      {SafetensorsBytes("\xef\xbb\xbf{}", ""), "does not begin with '{'"},
      {SafetensorsBytes("{}", "x"), "tensors end at byte 0 of the data, which has 1"},
  };
  for (const Bad& bad : cases) {
    const auto entries = ParseSafetensors(bad.file, nullptr);
    EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(entries.status().message()), HasSubstr(bad.message));
  }
}

TEST(SafetensorsTest, RefusesWrongHeaders) {
  const std::string u8 = R"("dtype": "U8", "shape": [1], "data_offsets": [0, 1])";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "not valid JSON"},
      {"{} x", "not valid JSON"},
      {std::string("{}\0", 3), "NUL at byte 2"},
      {"{\"\xff\": 1}", "not valid JSON"},
      {R"({"t": 5})", "unexpected a number in \"t\""},
      {R"({"t": null})", "unexpected null in \"t\""},
      {R"({"t": []})", "unexpected a list in \"t\""},
      {R"({"t": "x"})", "unexpected a string in \"t\""},
      {R"({"t": true})", "unexpected a truth value in \"t\""},
      {Entry(""), "lacks its dtype"},
      {Entry(R"("dtype": "U8", "data_offsets": [0, 1])"), "lacks its shape"},
      {Entry(R"("dtype": "U8", "shape": [1])"), "lacks its two data_offsets"},
      {Entry(R"("dtype": "U8", "shape": [1], "data_offsets": [0])"), "lacks its two data_offsets"},
      {Entry(R"("dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1])"), "one more number"},
      {Entry(R"("dtype": ["U8"], "shape": [1], "data_offsets": [0, 1])"), "unexpected a list"},
      {Entry(R"("dtype": 8, "shape": [1], "data_offsets": [0, 1])"), "unexpected a number"},
      {Entry(R"("dtype": "U8", "shape": "1", "data_offsets": [0, 1])"), "unexpected a string"},
      {Entry(R"("dtype": "U8", "shape": [[1]], "data_offsets": [0, 1])"), "unexpected a list"},
      {Entry(R"("dtype": "U8", "shape": [-1], "data_offsets": [0, 1])"), "a negative number"},
      {Entry(R"("dtype": "U8", "shape": [1.0], "data_offsets": [0, 1])"), "not whole"},
      {Entry(R"("dtype": "U8", "shape": [1e0], "data_offsets": [0, 1])"), "not whole"},
      {Entry(R"("dtype": "U8", "shape": {"a": 1}, "data_offsets": [0, 1])"), "an object"},
      {Entry(R"("dtype": "U8", "shape": [99999999999999999999], "data_offsets": [0, 1])"),
       "not whole"},
      {Entry(u8 + R"(, "extra": 1)"), "unknown field \"extra\""},
      {Entry(u8 + R"(, "dtype": "U8")"), "has dtype twice"},
      {Entry(u8 + R"(, "shape": [1])"), "has shape twice"},
      {Entry(u8 + R"(, "data_offsets": [0, 1])"), "has data_offsets twice"},
      {"{\"t\": {" + u8 + "}, \"t\": {" + u8 + "}}", "tensor \"t\" stands twice"},
      {R"({"__metadata__": {}, "__metadata__": {}})", "__metadata__ stands twice"},
      {R"({"__metadata__": {"a": "1", "a": "2"}})", "__metadata__ has \"a\" twice"},
      {R"({"__metadata__": {"a": 1}})", "unexpected a number in \"__metadata__\""},
      {R"({"__metadata__": {"a": {}}})", "unexpected an object in \"__metadata__\""},
      {R"({"__metadata__": []})", "unexpected a list"},
      {Entry(R"("dtype": "U9", "shape": [1], "data_offsets": [0, 1])"), "unknown dtype \"U9\""},
      {Entry(R"("dtype": "u8", "shape": [1], "data_offsets": [0, 1])"), "unknown dtype"},
      {Entry(R"("dtype": "F4", "shape": [2], "data_offsets": [0, 1])"), "unknown dtype"},
      {Entry(R"("dtype": "U8", "shape": [1], "data_offsets": [1, 0])"), "do not lie in"},
      {Entry(R"("dtype": "U8", "shape": [2], "data_offsets": [0, 2])"), "do not lie in"},
      {Entry(R"("dtype": "U8", "shape": [0], "data_offsets": [18446744073709551615, 0])"),
       "do not lie in"},
      {Entry(R"("dtype": "U8", "shape": [2], "data_offsets": [0, 1])"), "needs 2 bytes"},
      {Entry(R"("dtype": "F32", "shape": [], "data_offsets": [0, 1])"), "needs 4 bytes"},
      {Entry(R"("dtype": "U8", "shape": [0], "data_offsets": [0, 1])"), "needs 0 bytes"},
      {Entry(R"("dtype": "U8", "shape": [4294967296, 4294967296, 1], "data_offsets": [0, 1])"),
       "more bytes than can be counted"},
      {Entry(R"("dtype": "U8", "shape": [4294967296, 4294967296, 0], "data_offsets": [0, 0])"),
       "more bytes than can be counted"},
      {Entry(R"("dtype": "F64", "shape": [2305843009213693952], "data_offsets": [0, 0])"),
       "more bytes than can be counted"},
      {Entry(R"("dtype": "U8", "shape": [9223372036854775808], "data_offsets": [0, 0])"),
       "more bytes than can be counted"},
  };
  for (const auto& [header, message] : cases) {
    const auto entries = ParseSafetensors(SafetensorsBytes(header, "x"), nullptr);
    EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument) << header;
    EXPECT_THAT(std::string(entries.status().message()), HasSubstr(message)) << header;
  }
}

TEST(SafetensorsTest, RefusesGapsAndOverlaps) {
  const auto two = [](int begin_a, int end_a, int begin_b, int end_b) {
    return absl::StrCat(R"({"a": {"dtype": "U8", "shape": [)", end_a - begin_a,
                        R"(], "data_offsets": [)", begin_a, ", ", end_a, R"(]}, )",
                        R"("b": {"dtype": "U8", "shape": [)", end_b - begin_b,
                        R"(], "data_offsets": [)", begin_b, ", ", end_b, "]}}");
  };
  const auto error = [](const std::string& header) {
    const auto entries = ParseSafetensors(SafetensorsBytes(header, "12345678"), nullptr);
    return std::string(entries.status().message());
  };
  EXPECT_EQ(error(two(0, 4, 4, 8)), "");
  EXPECT_EQ(error(two(4, 8, 0, 4)), "");
  EXPECT_EQ(error(two(0, 8, 8, 8)), "");
  EXPECT_EQ(error(two(0, 0, 0, 8)), "");
  EXPECT_THAT(error(two(0, 3, 4, 8)), HasSubstr("\"b\": begins at byte 4 of the data, but"));
  EXPECT_THAT(error(two(0, 5, 4, 8)), HasSubstr("the tensors before it end at 5"));
  EXPECT_THAT(error(two(1, 4, 4, 8)), HasSubstr("\"a\": begins at byte 1"));
  EXPECT_THAT(error(two(0, 8, 0, 8)), HasSubstr("begins at byte 0"));
  EXPECT_THAT(error(two(0, 8, 4, 4)), HasSubstr("\"b\": begins at byte 4"));
  EXPECT_THAT(error(two(0, 4, 4, 7)), HasSubstr("end at byte 7 of the data, which has 8"));
}

// A header that is all brackets takes no memory in proportion to its nesting.
TEST(SafetensorsTest, RefusesDeepHeadersAtOnce) {
  const std::string deep = "{\"a\": " + std::string(10'000'000, '[');
  EXPECT_THAT(std::string(ParseSafetensors(SafetensorsBytes(deep, ""), nullptr).status().message()),
              HasSubstr("unexpected a list"));
}

TEST(SafetensorsTest, OpenNamesThePath) {
  const std::string directory = NewDirectory();
  EXPECT_EQ(SafetensorsFile::Open(directory + "/none").status().code(),
            absl::StatusCode::kNotFound);
  WriteFile(directory + "/empty", "");
  for (const std::string& path : {directory, directory + "/empty"}) {
    const absl::Status status = SafetensorsFile::Open(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(path + ": "));
  }
}

TEST(SafetensorsTest, EntriesOutliveAMoveOfTheFile) {
  const std::string path = NewDirectory() + "/f";
  WriteFile(path, SafetensorsBytes({{"a", "U8", {3}, "xyz"}}));
  auto opened = SafetensorsFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::byte* data = opened->entries().at("a").data;
  const SafetensorsFile file = *std::move(opened);
  EXPECT_EQ(file.entries().at("a").data, data);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), 3), "xyz");
}

}  // namespace
}  // namespace winnow
