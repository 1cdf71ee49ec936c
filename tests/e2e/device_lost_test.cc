// A lost device ends the process: everyone is answered, and the exit code says so.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "server/run_server.h"
#include "server/stop_events.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

// In the child of a death test: serves a model whose device fails while a client is being answered.
[[noreturn]] void ServeOnFailingDevice() {
  StopEvents events;
  Options options = TestOptions();
  const std::string path = "/tmp/winnow-device-lost-" + std::to_string(getpid());
  options.listen = {"unix:" + path};
  FakeModel model(StateSpec::Create(FakeModel::Config(), {}).value());
  model.FailNextStep(absl::DataLossError("the device fell off the bus"));
  std::thread client([&] {
    struct stat unused;
    WaitUntil([&] { return stat(path.c_str(), &unused) == 0; });
    v1::GenerateRequest request = IdsRequest(SomePrompt(3), 5);
    request.mutable_output()->set_skip_text(true);
    const Outcome outcome = Client(options.listen[0]).Generate(request);
    std::fprintf(stderr, "answered %s\n", absl::StatusCodeToString(outcome.code).c_str());
  });
  const int exit_code = ServeUntilStopped(options, ServeFake(&model, nullptr, options), events);
  client.join();
  std::_Exit(exit_code);
}

TEST(DeviceLostDeathTest, EveryoneIsAnsweredAndTheExitCodeIsThree) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ServeOnFailingDevice(), testing::ExitedWithCode(kExitDeviceLost),
              "answered INTERNAL");
}

}  // namespace
}  // namespace winnow
