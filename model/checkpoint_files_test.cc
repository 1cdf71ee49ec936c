#include "model/checkpoint_files.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing/test_files.h"

namespace winnow {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing_files::NewDirectory;
using testing_files::SafetensorsBytes;
using testing_files::WriteFile;

const char kA[] = "model-00001-of-00002.safetensors";
const char kB[] = "model-00002-of-00002.safetensors";

// Two shards: x and y in the first, z in the second.
class CheckpointFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteFile(directory_ + "/" + kA,
              SafetensorsBytes({{"x", "U8", {2}, "xx"}, {"y", "U8", {1}, "y"}}));
    WriteFile(directory_ + "/" + kB, SafetensorsBytes({{"z", "U8", {3}, "zzz"}}));
    WriteIndex({{"x", kA}, {"y", kA}, {"z", kB}});
  }
  void WriteIndex(const json& weight_map) {
    WriteFile(directory_ + "/" + kCheckpointIndexFile,
              json({{"metadata", {{"total_size", 6}}}, {"weight_map", weight_map}}).dump());
  }
  std::string Error() { return std::string(CheckpointFiles::Open(directory_).status().message()); }

  const std::string directory_ = NewDirectory();
};

std::string BytesOf(const SafetensorsEntry& entry) {
  const auto* bytes = reinterpret_cast<const char*>(entry.data);
  return std::string(bytes, bytes + entry.size_bytes);
}

TEST_F(CheckpointFilesTest, ReadsAllShards) {
  const auto files = CheckpointFiles::Open(directory_);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->entries().size(), 3u);
  EXPECT_EQ(BytesOf(files->entries().at("y")), "y");
  EXPECT_EQ(BytesOf(files->entries().at("z")), "zzz");
}

TEST_F(CheckpointFilesTest, ReadsOneFileWithoutAnIndex) {
  const std::string directory = NewDirectory();
  WriteFile(directory + "/" + kCheckpointFile, SafetensorsBytes({{"x", "U8", {2}, "xx"}}));
  const auto files = CheckpointFiles::Open(directory);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->entries().size(), 1u);
}

TEST_F(CheckpointFilesTest, RefusesBothForms) {
  WriteFile(directory_ + "/" + kCheckpointFile, SafetensorsBytes({{"x", "U8", {2}, "xx"}}));
  EXPECT_THAT(Error(), HasSubstr("has both model.safetensors and model.safetensors.index.json"));
}

TEST_F(CheckpointFilesTest, AnEmptyDirectoryLacksTheSingleFile) {
  const absl::Status status = CheckpointFiles::Open(NewDirectory()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/model.safetensors"));
}

TEST_F(CheckpointFilesTest, RefusesShardsThatTheIndexDoesNotDescribe) {
  WriteIndex({{"x", kA}, {"y", kA}, {"z", kB}, {"more", kB}});
  EXPECT_THAT(Error(), HasSubstr("model-00002-of-00002.safetensors: tensor \"more\" is missing"));
  WriteIndex({{"x", kA}, {"z", kB}});
  EXPECT_THAT(Error(),
              HasSubstr("tensor \"y\" is not in it according to the index, which does not"));
  WriteIndex({{"x", kA}, {"y", kB}, {"z", kB}});
  EXPECT_THAT(Error(),
              HasSubstr("tensor \"y\" is not in it according to the index, which has it in "
                        "model-00002-of-00002.safetensors"));
  WriteIndex({{"x", kA}, {"y", kA}, {"z", "model-00003.safetensors"}});
  EXPECT_THAT(Error(), HasSubstr("model-00003.safetensors: No such file"));
}

// A tensor in two shards: the index can give it to one of them only.
TEST_F(CheckpointFilesTest, RefusesATensorInTwoShards) {
  WriteFile(directory_ + "/" + kB,
            SafetensorsBytes({{"x", "U8", {2}, "xx"}, {"z", "U8", {3}, "zzz"}}));
  EXPECT_THAT(Error(), HasSubstr("tensor \"x\" is not in it"));
}

TEST_F(CheckpointFilesTest, ABrokenShardIsNamed) {
  WriteFile(directory_ + "/" + kB, "short");
  EXPECT_THAT(Error(), HasSubstr("model-00002-of-00002.safetensors: only 5 bytes"));
}

TEST(CheckpointIndexTest, RefusesWhatIsNotAnIndex) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not valid JSON"},
      {"[]", "the document is []"},
      {"{}", "weight_map is missing"},
      {R"({"weight_map": []})", "weight_map is []: must be an object"},
      {R"({"weight_map": {}, "x": 1})", "unknown field \"x\""},
      {R"({"weight_map": {"a": 1}})", "weight_map[\"a\"] is 1: must be the plain name"},
      {R"({"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}})", "stands twice"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(std::string(ParseCheckpointIndex(text).status().message()), HasSubstr(message));
  }
}

TEST(CheckpointIndexTest, RefusesNamesThatLeadElsewhere) {
  for (const std::string name : {"", "..", "../x.safetensors", "/x.safetensors", "a/x.safetensors",
                                 "x.bin", ".safetensors", "x\\u0000.safetensors", "/etc/passwd"}) {
    const std::string text = "{\"weight_map\": {\"a\": \"" + name + "\"}}";
    EXPECT_THAT(std::string(ParseCheckpointIndex(text).status().message()),
                HasSubstr("must be the plain name of a .safetensors file"))
        << name;
  }
  EXPECT_TRUE(ParseCheckpointIndex(R"({"weight_map": {"a": "x..y.safetensors"}})").ok());
}

}  // namespace
}  // namespace winnow
