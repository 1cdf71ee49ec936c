// Failures of the device, injected below the real model: who gets an error, who does not notice,
// and what the server does next.
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "proto/google/rpc/error_details.pb.h"
#include "server/loaded_model.h"
#include "server/run_server.h"
#include "server/server.h"
#include "tests/e2e/faulty_demo.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

constexpr int kPromptTokens = 150;  // more than a window: heads keep tokens
constexpr uint32_t kOutputTokens = 30;
constexpr int kRequests = 8;  // as many as there are slots
constexpr int kFaulty = 3;    // of the requests
// In the prompt of request kFaulty, and nowhere else.
constexpr uint32_t kMark = 0;
constexpr float kBadNumbers[] = {std::numeric_limits<float>::quiet_NaN(),
                                 std::numeric_limits<float>::infinity(),
                                 -std::numeric_limits<float>::infinity()};

// With steps one after the other, and with one planned and launched beside each.
class FaultTest : public ::testing::TestWithParam<int> {
 protected:
  FaultTest() : demo_(FaultyDemo::ServerOptions(), /*max_in_flight=*/GetParam()) {
    WINNOW_CHECK(demo_.CreateModel().ok());
    auto server = Server::Start(FaultyDemo::ServerOptions(), demo_.served(), nullptr);
    WINNOW_CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<Client>(server_->addresses()[0]);
  }

  // Greedy and random ones in turn; request i has seed 100 + i and the id "r<i>".
  static v1::GenerateRequest Request(int i) {
    std::vector<uint32_t> prompt = SomePrompt(kPromptTokens, i);
    if (i == kFaulty) prompt[kPromptTokens / 2] = kMark;
    v1::GenerateRequest request = IdsRequest(std::move(prompt), kOutputTokens);
    request.set_request_id(absl::StrCat("r", i));
    request.mutable_sampling()->set_temperature(static_cast<float>(i % 2));
    request.mutable_sampling()->set_seed(100 + i);
    request.mutable_output()->set_skip_text(true);
    request.mutable_output()->set_logprobs(3);
    request.mutable_output()->set_state_usage(true);
    return request;
  }

  std::vector<Outcome> AskAllAtOnce() {
    std::vector<std::unique_ptr<Call>> calls;
    for (int i = 0; i < kRequests; ++i) calls.push_back(client_->Start(Request(i)));
    std::vector<Outcome> outcomes;
    for (const auto& call : calls) outcomes.push_back(call->Finish());
    EXPECT_TRUE(WaitUntil([&] { return IsIdle(client_->GetLoad()); }));
    return outcomes;
  }

  // What the model computed for the request, bit for bit.
  static std::string Computed(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    v1::GenerateResponse all;
    for (const auto& entry : outcome.Logprobs()) *all.mutable_delta()->add_logprobs() = entry;
    v1::Finish finish = outcome.Finish();
    finish.clear_timing();
    return all.SerializeAsString() + finish.SerializeAsString();
  }

  static void ExpectInternalWithId(const Outcome& outcome, int i) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
    const auto info = outcome.Get<google::rpc::ErrorInfo>();
    EXPECT_EQ(info.reason(), "INTERNAL");
    const auto id = info.metadata().find("request_id");
    ASSERT_NE(id, info.metadata().end());
    EXPECT_EQ(id->second, absl::StrCat("r", i));
  }

  // All but kFaulty are as in a run without fault, and kFaulty has the first `num_tokens` of its
  // tokens only.
  void ExpectOnlyOneFails(const std::vector<Outcome>& sound, size_t num_tokens) {
    const std::vector<Outcome> outcomes = AskAllAtOnce();
    for (int i = 0; i < kRequests; ++i) {
      if (i == kFaulty) continue;
      EXPECT_TRUE(Computed(outcomes[i]) == Computed(sound[i])) << "request " << i;
    }
    const Outcome& faulty = outcomes[kFaulty];
    ExpectInternalWithId(faulty, kFaulty);
    std::vector<uint32_t> before = sound[kFaulty].TokenIds();
    before.resize(num_tokens);
    EXPECT_THAT(faulty.TokenIds(), ElementsAreArray(before));
    EXPECT_EQ(faulty.Finish().num_output_tokens(), num_tokens);
  }

  // Every slot serves a request again, the one of the fault among them, and all are right.
  void ExpectAllSound(const std::vector<Outcome>& sound) {
    const std::vector<Outcome> outcomes = AskAllAtOnce();
    for (int i = 0; i < kRequests; ++i) {
      EXPECT_TRUE(Computed(outcomes[i]) == Computed(sound[i])) << "request " << i;
    }
  }

  FaultyBackend& backend() { return demo_.backend(); }

 private:
  FaultyDemo demo_;
  std::unique_ptr<Server> server_;

 protected:
  std::unique_ptr<Client> client_;
};

TEST_P(FaultTest, BadLogitsFailTheirRequestAlone) {
  const std::vector<Outcome> sound = AskAllAtOnce();
  for (const float bad : kBadNumbers) {
    for (const size_t num_tokens : {0, 1, 17}) {
      SCOPED_TRACE(absl::StrCat(bad, " after ", num_tokens, " tokens"));
      const int64_t faults = backend().num_faults();
      backend().SpoilLogits(100 + kFaulty, kPromptTokens + static_cast<int64_t>(num_tokens), bad);
      ExpectOnlyOneFails(sound, num_tokens);
      EXPECT_EQ(backend().num_faults(), faults + GetParam())
          << "nothing is computed after the fault but what was in flight";
      backend().Heal();
      ExpectAllSound(sound);
    }
  }
}

// The residual stream carries it into every layer's state: slot and pages are full of it when they
// return.
TEST_P(FaultTest, BadStateFailsItsRequestAloneAndStaysBehind) {
  const std::vector<Outcome> sound = AskAllAtOnce();
  for (const Outcome& outcome : sound) {
    EXPECT_THAT(outcome.TokenIds(), ::testing::Not(::testing::Contains(kMark)));
  }
  for (const float bad : kBadNumbers) {
    SCOPED_TRACE(bad);
    backend().SpoilEmbedding(kMark, bad);
    ExpectOnlyOneFails(sound, 0);
    backend().Heal();
    ExpectAllSound(sound);
  }
}

TEST_P(FaultTest, ScoringAFaultyPromptFailsItsRequestAlone) {
  const std::vector<Outcome> sound = AskAllAtOnce();
  backend().SpoilEmbedding(kMark, kBadNumbers[0]);
  v1::GenerateRequest request = Request(kFaulty);
  request.mutable_output()->set_prompt_logprobs(1);
  request.mutable_stop()->set_max_tokens(0);
  const Outcome outcome = client_->Generate(request);
  ExpectInternalWithId(outcome, kFaulty);
  EXPECT_THAT(outcome.PromptLogprobs(), IsEmpty());
  backend().Heal();
  ExpectAllSound(sound);
}

TEST_P(FaultTest, FailedStepFailsItsRequestsAndTheServerGoesOn) {
  const std::vector<Outcome> sound = AskAllAtOnce();
  for (const bool in_op : {true, false}) {
    SCOPED_TRACE(in_op);
    const absl::Status failure = absl::InternalError("the device had a bad day");
    in_op ? backend().FailNextOp(failure) : backend().FailNextSynchronize(failure);
    const Outcome outcome = client_->Generate(Request(0));
    ExpectInternalWithId(outcome, 0);
    EXPECT_THAT(outcome.TokenIds(), IsEmpty());
    EXPECT_TRUE(Computed(client_->Generate(Request(0))) == Computed(sound[0]));
    ExpectAllSound(sound);
  }
}

// In a crowd: those of the step fail, the others do not.
TEST_P(FaultTest, FailedStepInACrowdFailsNobodyElse) {
  const std::vector<Outcome> sound = AskAllAtOnce();
  backend().FailNextOp(absl::InternalError("the device had a bad day"));
  const std::vector<Outcome> outcomes = AskAllAtOnce();
  int num_failed = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (outcomes[i].code == absl::StatusCode::kOk) {
      EXPECT_TRUE(Computed(outcomes[i]) == Computed(sound[i])) << "request " << i;
    } else {
      ExpectInternalWithId(outcomes[i], i);
      ++num_failed;
    }
  }
  EXPECT_GE(num_failed, 1);
  ExpectAllSound(sound);
}

INSTANTIATE_TEST_SUITE_P(StepsInFlight, FaultTest, ::testing::Values(1, 2));

TEST(FaultAtStartTest, EachRefusedAllocationIsAnErrorWithTheSize) {
  FaultyDemo demo(FaultyDemo::ServerOptions());
  int num_refused = 0;
  for (;; ++num_refused) {
    demo.backend().RefuseAllocation(num_refused);
    const absl::Status status = demo.CreateModel();
    if (status.ok()) break;
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::ContainsRegex("allocate [0-9]+ bytes"));
  }
  EXPECT_EQ(num_refused, 6) << "slots, page tables, their edits, pages, activations, drawn tokens";
}

// A budget that no machine can address.
Options OptionsWithoutTheMemory() {
  Options options = FaultyDemo::ServerOptions();
  options.state_memory_bytes = int64_t{1} << 50;
  options.max_sequences = 1 << 30;
  options.log_level = "off";
  return options;
}

TEST(FaultAtStartTest, LoadingWithoutTheMemoryIsAnErrorWithTheSize) {
  const auto loaded = LoadModel(OptionsWithoutTheMemory());
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kResourceExhausted) << loaded.status();
  EXPECT_THAT(std::string(loaded.status().message()),
              ::testing::ContainsRegex("cannot allocate [0-9]+ bytes"));
}

TEST(FaultAtStartDeathTest, ServerWithoutTheMemoryExitsWithOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::_Exit(RunServer(OptionsWithoutTheMemory())),
              ::testing::ExitedWithCode(kExitCannotStart),
              "winnow-server: cannot allocate [0-9]+ bytes");
}

}  // namespace
}  // namespace winnow
