// run-gpu-tests: every test that needs a GPU, in one program.
//
//   run-gpu-tests [--data=DIR] [--cublaslt=PATH] [gtest's flags]
//
// DIR holds the tests' files as this project's root does (tests/golden, deploy/demo-model, ...);
// default: the program's own folder. Ends with a line "N passed, N failed".
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  std::filesystem::path data = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.starts_with("--data=")) {
      data = flag.substr(7);
    } else if (flag.starts_with("--cublaslt=")) {
      winnow::cuda::CublasLtPath() = flag.substr(11);
    } else {
      std::fprintf(stderr, "run-gpu-tests: unknown flag %s\n", argv[i]);
      return 1;
    }
  }
  std::filesystem::current_path(data);
  const int result = RUN_ALL_TESTS();
  const auto& tests = *::testing::UnitTest::GetInstance();
  std::printf("%d passed, %d failed\n", tests.successful_test_count(), tests.failed_test_count());
  return result;
}
