// Runs libFuzzer on the target that is linked in, from the kept corpus on, and says every minute
// how far it is.
//
// The arguments are libFuzzer's. WINNOW_FUZZ_SECONDS is how long it runs (600 if unset); a failing
// input goes to Bazel's folder of undeclared outputs, new inputs of the corpus to its temporary
// one, or to the folder that WINNOW_FUZZ_CORPUS names.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerRunDriver(int* argc, char*** argv,
                                   int (*target)(const uint8_t* data, size_t size));

namespace winnow {
namespace {

std::atomic<uint64_t> num_executions = 0;

int CountingTarget(const uint8_t* data, size_t size) {
  ++num_executions;
  return LLVMFuzzerTestOneInput(data, size);
}

std::string EnvironmentOr(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

// A line a minute, until destroyed.
class ProgressLines {
 public:
  ProgressLines() : thread_([this] { Print(); }) {}
  ~ProgressLines() {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      done_ = true;
    }
    ended_.notify_all();
    thread_.join();
  }

 private:
  void Print() {
    std::unique_lock<std::mutex> lock(mu_);
    for (int minutes = 1; !ended_.wait_for(lock, std::chrono::minutes(1), [this] { return done_; });
         ++minutes) {
      std::fprintf(stderr, "after %d min: %llu executions\n", minutes,
                   static_cast<unsigned long long>(num_executions));
    }
  }

  std::mutex mu_;
  std::condition_variable ended_;
  bool done_ = false;  // guarded by mu_
  std::thread thread_;
};

std::vector<std::string> Arguments(int argc, char** argv) {
  const std::string grown =
      EnvironmentOr("WINNOW_FUZZ_CORPUS", EnvironmentOr("TEST_TMPDIR", "/tmp") + "/corpus");
  std::filesystem::create_directories(grown);
  std::vector<std::string> arguments = {
      argv[0], "-max_total_time=" + EnvironmentOr("WINNOW_FUZZ_SECONDS", "600"),
      "-artifact_prefix=" + EnvironmentOr("TEST_UNDECLARED_OUTPUTS_DIR", ".") + "/",
      "-print_final_stats=1", "-timeout=60",
      // Threads of gRPC allocate beside the target's run; the sanitizer looks for leaks at the end.
      "-detect_leaks=0",
      grown,  // the first folder gets what is found
  };
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  return arguments;
}

int Run(int argc, char** argv) {
  std::vector<std::string> arguments = Arguments(argc, argv);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  char** values = pointers.data();
  static ProgressLines progress;  // libFuzzer ends the process
  return LLVMFuzzerRunDriver(&count, &values, CountingTarget);
}

}  // namespace
}  // namespace winnow

int main(int argc, char** argv) { return winnow::Run(argc, argv); }
