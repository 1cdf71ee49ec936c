#include "server/generation_config.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(GenerationConfigTest, OneIdAListOrNone) {
  EXPECT_THAT(*ParseGenerationConfigEos(R"({"eos_token_id": 7})"), ElementsAre(7));
  EXPECT_THAT(*ParseGenerationConfigEos(R"({"eos_token_id": [7, 2]})"), ElementsAre(7, 2));
  EXPECT_THAT(*ParseGenerationConfigEos(R"({"eos_token_id": null})"), IsEmpty());
  EXPECT_THAT(*ParseGenerationConfigEos(R"({"temperature": 0.7})"), IsEmpty());
}

TEST(GenerationConfigTest, AnythingElseIsRefused) {
  for (const char* json :
       {"", "{", "[]", "7", R"({"eos_token_id": -1})", R"({"eos_token_id": "7"})",
        R"({"eos_token_id": 1.5})", R"({"eos_token_id": [1, null]})",
        R"({"eos_token_id": 4294967296})", R"({"eos_token_id": {}})"}) {
    EXPECT_EQ(ParseGenerationConfigEos(json).status().code(), absl::StatusCode::kInvalidArgument)
        << json;
  }
}

class EosTokenIdsTest : public ::testing::Test {
 protected:
  EosTokenIdsTest() : directory_(testing::TempDir() + "/eos") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    config_.vocab_size = 10;
    config_.eos_token_ids = {5, 2};
  }
  void Write(const std::string& json) {
    std::ofstream(directory_ + "/generation_config.json") << json;
  }

  const std::string directory_;
  ModelConfig config_;
};

TEST_F(EosTokenIdsTest, WithoutTheFileThoseOfTheConfig) {
  EXPECT_THAT(*EosTokenIds(directory_, config_), ElementsAre(2, 5));
}

TEST_F(EosTokenIdsTest, BothFilesTogether) {
  Write(R"({"eos_token_id": [9, 5]})");
  EXPECT_THAT(*EosTokenIds(directory_, config_), ElementsAre(2, 5, 9));
}

TEST_F(EosTokenIdsTest, ErrorsNameTheFile) {
  for (const char* json : {"{", R"({"eos_token_id": 10})"}) {
    Write(json);
    const auto ids = EosTokenIds(directory_, config_);
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(ids.status().message()), HasSubstr("generation_config.json"));
  }
}

}  // namespace
}  // namespace winnow
