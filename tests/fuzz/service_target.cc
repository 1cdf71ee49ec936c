// Any call to the service, through gRPC, validation, tokenizer, engine and streaming, on the
// FakeModel: it ends with a status that fits it, the server is idle then, and another request is
// answered rightly. Input: tests/fuzz/service_input.h.
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "grpcpp/grpcpp.h"
#include "kernels/check.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"
#include "tests/e2e/harness.h"
#include "tests/fuzz/generate_check.h"
#include "tests/fuzz/generic_call.h"
#include "tests/fuzz/service_input.h"
#include "tests/fuzz/target.h"

namespace winnow {
namespace {

// Small limits, so that inputs reach both sides of them quickly.
Options SmallLimits() {
  Options options = TestOptions();
  options.max_tokens_limit = 24;
  options.default_max_tokens = 8;
  options.max_prompt_tokens = 300;
  options.max_logit_bias = 30;
  options.max_prompt_logprobs = 1000;
  return options;
}

struct Fixture {
  TestServer server{SmallLimits()};
  Client client{server.address()};
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
};

// Made once, and left to the end of the process.
Fixture& TheFixture() {
  static auto& fixture = *[] {
    google::protobuf::SetLogHandler(nullptr);  // it has a line for each text that is no UTF-8
    return new Fixture();
  }();
  return fixture;
}

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  WINNOW_CHECK(details.ParseFromString(status.error_details())) << status.error_message();
  WINNOW_CHECK(details.code() == status.error_code()) << status.error_message();
  return details;
}

template <typename Detail>
Detail Get(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  Detail detail;
  WINNOW_CHECK(details.details_size() >= 1 && details.details(0).UnpackTo(&detail))
      << status.error_message();
  return detail;
}

void CheckRefusal(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT: {
      const auto violations = Get<google::rpc::BadRequest>(status).field_violations();
      WINNOW_CHECK(violations.size() == 1 && !violations[0].field().empty());
      return;
    }
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::UNIMPLEMENTED:
      WINNOW_CHECK(!Get<google::rpc::ErrorInfo>(status).reason().empty());
      return;
    default:
      WINNOW_CHECK(false) << status.error_code() << " " << status.error_message();
  }
}

void CheckOutcome(const ServiceInput& input, const std::string& bytes,
                  const GenericOutcome& outcome) {
  const grpc::Status& status = outcome.status;
  if (input.cancel_after.has_value() && status.error_code() == grpc::StatusCode::CANCELLED) return;
  const auto request = input.NewRequest();
  if (!request->ParseFromString(bytes)) {
    // gRPC's own answer, before the service is asked: its callback API calls that unimplemented.
    WINNOW_CHECK(status.error_code() == grpc::StatusCode::UNIMPLEMENTED) << status.error_code();
    return;
  }
  if (!status.ok()) {
    WINNOW_CHECK(outcome.messages.empty()) << outcome.messages.size() << " messages";
    return CheckRefusal(status);
  }
  if (input.method().ends_with("/Generate")) {
    CheckAnswer(dynamic_cast<const v1::GenerateRequest&>(*request), outcome.messages);
  } else {
    WINNOW_CHECK(outcome.messages.size() == 1) << outcome.messages.size();
  }
}

void CheckServer(Fixture& fixture) {
  const bool idle = WaitUntil([&] { return IsIdle(fixture.client.GetLoad()); });
  WINNOW_CHECK(idle) << fixture.client.GetLoad().ShortDebugString();
  v1::GenerateRequest canary = IdsRequest({5, 6, 7}, 4);
  canary.mutable_output()->set_skip_text(true);
  const Outcome outcome = fixture.client.Generate(canary);
  WINNOW_CHECK(outcome.code == absl::StatusCode::kOk) << outcome.message;
  WINNOW_CHECK(outcome.TokenIds() == FakeModel::GreedyAnswer({5, 6, 7}, 4));
}

int Run(std::string_view data) {
  const auto input = ServiceInput::Parse(data);
  const auto bytes = input.has_value() ? input->RequestBytes() : std::nullopt;
  if (!bytes.has_value()) return -1;
  Fixture& fixture = TheFixture();
  CheckOutcome(*input, *bytes,
               RunGenericCall(fixture.channel, input->method(), *bytes, input->cancel_after));
  CheckServer(fixture);
  return 0;
}

}  // namespace
}  // namespace winnow

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return winnow::Run({reinterpret_cast<const char*>(data), size});
}

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  std::minstd_rand random(seed);
  auto input = winnow::ServiceInput::Parse({reinterpret_cast<const char*>(data), size});
  if (!input.has_value()) return LLVMFuzzerMutate(data, size, max_size);
  input->Mutate(&random);
  const std::string mutated = input->Format();
  if (mutated.size() > max_size) return size;
  std::memcpy(data, mutated.data(), mutated.size());
  return mutated.size();
}
