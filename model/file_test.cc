#include "model/file.h"

#include <sys/stat.h>

#include <filesystem>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing/test_files.h"

namespace winnow {
namespace {

using testing::HasSubstr;
using testing_files::NewDirectory;
using testing_files::WriteFile;

TEST(FileTest, ReadsAndMapsTheSameBytes) {
  const std::string path = NewDirectory() + "/f";
  std::string content(100'001, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  WriteFile(path, content);
  EXPECT_EQ(*ReadFile(path, 100'001), content);
  auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  MappedFile moved = *std::move(mapped);
  EXPECT_EQ(moved.bytes(), content);
  moved = MappedFile();
  EXPECT_EQ(moved.bytes(), "");
}

TEST(FileTest, AnEmptyFileIsEmpty) {
  const std::string path = NewDirectory() + "/f";
  WriteFile(path, "");
  EXPECT_EQ(*ReadFile(path, 0), "");
  EXPECT_EQ(MappedFile::Open(path)->bytes(), "");
}

TEST(FileTest, ErrorsNameThePath) {
  const std::string directory = NewDirectory();
  const std::string missing = directory + "/missing", pipe = directory + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(missing, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(missing).status().code(), absl::StatusCode::kNotFound);
  for (const std::string& path : {missing, directory, pipe}) {
    EXPECT_THAT(std::string(ReadFile(path, 1).status().message()), HasSubstr(path));
    EXPECT_THAT(std::string(MappedFile::Open(path).status().message()), HasSubstr(path));
  }
  WriteFile(directory + "/f", "12345");
  EXPECT_THAT(std::string(ReadFile(directory + "/f", 4).status().message()),
              HasSubstr("5 bytes; at most 4"));
}

}  // namespace
}  // namespace winnow
