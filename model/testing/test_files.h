// Files for tests: .safetensors built by hand, right or wrong, and directories to put them in.
#ifndef WINNOW_MODEL_TESTING_TEST_FILES_H_
#define WINNOW_MODEL_TESTING_TEST_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace winnow::testing_files {

struct TestTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

// A valid file, tensors in this order.
std::string SafetensorsBytes(const std::vector<TestTensor>& tensors);
// Length, header and data as given, whatever they mean together.
std::string SafetensorsBytes(std::string_view header, std::string_view data);
// All tensors of a valid file. CHECKs that it is one.
std::vector<TestTensor> ReadTensors(const std::string& path);
// The tensor of that name. CHECKs that it is there.
TestTensor& Find(std::vector<TestTensor>& tensors, std::string_view name);

// A new, empty directory for the running test.
std::string NewDirectory();
void WriteFile(const std::string& path, std::string_view content);
std::string ReadWholeFile(const std::string& path);

}  // namespace winnow::testing_files

#endif  // WINNOW_MODEL_TESTING_TEST_FILES_H_
