// A lost device ends the process: everyone is answered, health says so, and so does the exit code.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "server/run_server.h"
#include "server/stop_events.h"
#include "tests/e2e/faulty_demo.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// In the child of a death test: serves on a socket of this process until the device is lost, and
// lets clients at it meanwhile.
[[noreturn]] void ServeAndExit(Options options, const ServedModel& served,
                               const std::function<void(const std::string& address)>& clients) {
  StopEvents events;
  const std::string path = "/tmp/winnow-device-lost-" + std::to_string(getpid());
  options.listen = {"unix:" + path};
  std::thread asking([&] {
    struct stat unused;
    WaitUntil([&] { return stat(path.c_str(), &unused) == 0; });
    clients(options.listen[0]);
  });
  const int exit_code = ServeUntilStopped(options, served, events);
  asking.join();
  std::_Exit(exit_code);
}

[[noreturn]] void ServeOnFailingDevice() {
  const Options options = TestOptions();
  FakeModel model(StateSpec::Create(FakeModel::Config(), {}).value());
  model.FailNextStep(absl::DataLossError("the device fell off the bus"));
  ServeAndExit(options, ServeFake(&model, nullptr, options), [](const std::string& address) {
    v1::GenerateRequest request = IdsRequest(SomePrompt(3), 5);
    request.mutable_output()->set_skip_text(true);
    const Outcome outcome = Client(address).Generate(request);
    std::fprintf(stderr, "answered %s\n", absl::StatusCodeToString(outcome.code).c_str());
  });
}

// Health as a stream tells it.
class HealthWatch {
 public:
  explicit HealthWatch(const std::string& address)
      : stub_(grpc::health::v1::Health::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        reader_(stub_->Watch(&context_, HealthCheckRequest())) {}
  ~HealthWatch() { context_.TryCancel(); }

  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    return reader_->Read(&response) ? response.status() : HealthCheckResponse::UNKNOWN;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

// Running and waiting ones: the demo model has fewer slots than there are calls.
int NumAnsweredInternal(const std::string& address, FaultyBackend& backend) {
  Client client(address);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 12; ++i) {
    v1::GenerateRequest request = IdsRequest(SomePrompt(20, i), 1'000'000'000);
    request.mutable_output()->set_skip_text(true);
    request.set_request_id("r" + std::to_string(i));
    calls.push_back(client.Start(request));
  }
  WaitUntil([&] {
    const auto load = client.GetLoad();
    return load.running() > 0 && load.running() + load.waiting() == calls.size();
  });
  backend.FailNextSynchronize(absl::DataLossError("the context is poisoned"));
  int num_internal = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    const Outcome outcome = calls[i]->Finish();
    const auto info = outcome.Get<google::rpc::ErrorInfo>();
    const auto id = info.metadata().find("request_id");
    num_internal += outcome.code == absl::StatusCode::kInternal && id != info.metadata().end() &&
                    id->second == "r" + std::to_string(i);
  }
  return num_internal;
}

[[noreturn]] void PoisonTheContext() {
  const Options options = FaultyDemo::ServerOptions();
  FaultyDemo demo(options);
  WINNOW_CHECK(demo.CreateModel().ok());
  ServeAndExit(options, demo.served(), [&](const std::string& address) {
    HealthWatch health(address);
    const bool serving = health.Next() == HealthCheckResponse::SERVING;
    const int num_internal = NumAnsweredInternal(address, demo.backend());
    const bool not_serving = health.Next() == HealthCheckResponse::NOT_SERVING;
    std::fprintf(stderr, "served %d, answered %d, stopped serving %d\n", serving, num_internal,
                 not_serving);
  });
}

TEST(DeviceLostDeathTest, EveryoneIsAnsweredAndTheExitCodeIsThree) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ServeOnFailingDevice(), ::testing::ExitedWithCode(kExitDeviceLost),
              "answered INTERNAL");
}

TEST(DeviceLostDeathTest, PoisonedContextAnswersEveryoneAndTurnsNotServing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(PoisonTheContext(), ::testing::ExitedWithCode(kExitDeviceLost),
              "served 1, answered 12, stopped serving 1");
}

}  // namespace
}  // namespace winnow
