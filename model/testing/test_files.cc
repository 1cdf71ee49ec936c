#include "model/testing/test_files.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "gtest/gtest.h"
#include "kernels/check.h"
#include "model/safetensors.h"

namespace winnow::testing_files {

std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  file += header;
  file += data;
  return file;
}

std::string SafetensorsBytes(const std::vector<TestTensor>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::string data;
  for (const TestTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  std::string json = header.dump();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  return SafetensorsBytes(json, data);
}

std::vector<TestTensor> ReadTensors(const std::string& path) {
  const auto file = SafetensorsFile::Open(path);
  WINNOW_CHECK(file.ok()) << file.status();
  std::vector<TestTensor> tensors;
  for (const auto& [name, entry] : file->entries()) {
    const auto* bytes = reinterpret_cast<const char*>(entry.data);
    tensors.push_back(
        {name, entry.dtype, entry.shape, std::string(bytes, bytes + entry.size_bytes)});
  }
  return tensors;
}

TestTensor& Find(std::vector<TestTensor>& tensors, std::string_view name) {
  for (TestTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  WINNOW_CHECK(false) << "no tensor " << name;
  return tensors[0];
}

std::string NewDirectory() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  static int count = 0;
  std::string name = std::string(test->test_suite_name()) + "_" + test->name();
  for (char& c : name) {
    if (c == '/') c = '_';
  }
  const std::string path = testing::TempDir() + "/" + name + "_" + std::to_string(count++);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

void WriteFile(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  WINNOW_CHECK(file.good()) << path;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  WINNOW_CHECK(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace winnow::testing_files
