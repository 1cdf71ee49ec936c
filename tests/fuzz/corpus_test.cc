// Replays a kept corpus through the target that is linked in, then damages its inputs at random for
// WINNOW_FUZZ_SECONDS (3 if unset). The seed is printed and can be given back with --seed. A
// failing input is printed and written to Bazel's folder of undeclared outputs as it begins.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "tests/fuzz/target.h"

// Only targets with a structure of their own have it.
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                                                size_t max_size, unsigned int seed);

namespace winnow {
namespace {

constexpr size_t kMaxInputBytes = 4096;

std::string g_corpus;
std::mt19937_64 g_random;
std::string g_input;  // that runs now

uint64_t Below(uint64_t bound) { return g_random() % bound; }

// A sanitizer ends the process by abort, or calls this itself (__asan_on_error and its like).
void ReportInput() {
  const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  if (folder != nullptr) std::ofstream(std::string(folder) + "/failing_input") << g_input;
  std::cerr << "failing input, " << g_input.size() << " bytes:\n"
            << absl::BytesToHexString(g_input) << std::endl;
}

void OnAbort(int) {
  std::signal(SIGABRT, SIG_DFL);
  ReportInput();
}

void RunInput(std::string input) {
  g_input = std::move(input);
  // Exactly as large as the input: reads beyond it are found.
  const std::vector<uint8_t> bytes(g_input.begin(), g_input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadCorpus() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(g_corpus)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

std::string Damaged(std::string input) {
  const size_t size = input.size();
  input.resize(std::max(size, kMaxInputBytes));
  auto* data = reinterpret_cast<uint8_t*>(input.data());
  input.resize(LLVMFuzzerCustomMutator != nullptr && Below(4) != 0
                   ? LLVMFuzzerCustomMutator(data, size, input.size(), g_random())
                   : LLVMFuzzerMutate(data, size, input.size()));
  return input;
}

std::chrono::duration<double> Patience() {
  const char* seconds = std::getenv("WINNOW_FUZZ_SECONDS");
  return std::chrono::duration<double>(seconds == nullptr ? 3 : std::atof(seconds));
}

TEST(CorpusTest, KeptInputsAreHandled) {
  for (std::string& input : ReadCorpus()) RunInput(std::move(input));
}

TEST(CorpusTest, DamagedInputsAreHandled) {
  std::vector<std::string> inputs = ReadCorpus();
  ASSERT_FALSE(inputs.empty());
  const auto start = std::chrono::steady_clock::now();
  int num_inputs = 0;
  for (; std::chrono::steady_clock::now() - start < Patience(); ++num_inputs) {
    std::string input = inputs[Below(inputs.size())];
    for (uint64_t n = 1 + Below(4); n > 0; --n) input = Damaged(std::move(input));
    RunInput(std::move(input));
  }
  std::cout << num_inputs << " damaged inputs" << std::endl;
}

}  // namespace

void ReadFlags(int argc, char** argv) {
  uint64_t seed = std::random_device()();
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--corpus=")) g_corpus = flag.substr(9);
    if (flag.starts_with("--seed=")) seed = std::stoull(flag.substr(7));
  }
  g_random.seed(seed);
  std::cout << "--seed=" << seed << std::endl;
  std::signal(SIGABRT, OnAbort);
}

}  // namespace winnow

// AddressSanitizer calls it before it reports and exits.
extern "C" void __asan_on_error() { winnow::ReportInput(); }

size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  using winnow::Below;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  const size_t at = Below(size + 1);
  switch (Below(4)) {
    case 0:
      bytes.insert(at, 1 + Below(3), static_cast<char>(Below(256)));
      break;
    case 1:
      bytes.erase(at, 1 + Below(20));
      break;
    case 2:
      bytes.insert(at, bytes.substr(Below(size + 1), Below(40)));
      break;
    default:
      if (at < size) bytes[at] = static_cast<char>(Below(256));
  }
  bytes.resize(std::min(bytes.size(), max_size));
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  winnow::ReadFlags(argc, argv);
  return RUN_ALL_TESTS();
}
