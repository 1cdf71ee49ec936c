// The recorded logits of the published implementation, over real gRPC from a real server process:
// prompt_logprobs agree with the log-softmax of every recording, to 1e-3 everywhere and 1e-4 in the
// mean, however the prompt is cut.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/child_server.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "proto/winnow/v1/generation.grpc.pb.h"
#include "tests/golden/recordings.h"

namespace winnow {
namespace {

constexpr char kServer[] = "server/winnow-server";

// What the server says of every position: the logits after position t are reported as those of
// token t + 1.
std::vector<v1::PositionLogprobs> Score(const std::string& address, const Golden& golden) {
  auto stub = v1::GenerationService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  v1::GenerateRequest request;
  for (const uint32_t token : golden.tokens) request.mutable_token_ids()->add_ids(token);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(1);
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_output()->set_skip_text(true);
  request.mutable_output()->set_logprobs(20);
  request.mutable_output()->set_prompt_logprobs(20);
  grpc::ClientContext context;
  auto reader = stub->Generate(&context, request);
  std::vector<v1::PositionLogprobs> positions;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    for (const auto& p : response.prompt_logprobs().logprobs()) positions.push_back(p);
    for (const auto& p : response.delta().logprobs()) positions.push_back(p);
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return positions;
}

void Compare(const std::vector<v1::PositionLogprobs>& positions, const LogprobRows& recording) {
  ASSERT_EQ(positions.size(), recording.size());
  double worst = 0, sum = 0;
  int64_t count = 0;
  for (size_t t = 0; t < positions.size(); ++t) {
    const auto check = [&](uint32_t token, float logprob) {
      const double error = std::abs(logprob - recording[t][token]);
      EXPECT_LE(error, 1e-3) << "position " << t << ", token " << token;
      worst = std::max(worst, error);
      sum += error;
      ++count;
    };
    check(positions[t].token_id(), positions[t].logprob());
    ASSERT_EQ(positions[t].top_size(), 20);
    for (const auto& top : positions[t].top()) check(top.token_id(), top.logprob());
  }
  EXPECT_LE(sum / count, 1e-4);
  std::printf("  worst %.2g, mean %.2g over %d values\n", worst, sum / count,
              static_cast<int>(count));
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, PromptLogprobsAgreeWithTheRecordings) {
  const Golden golden = LoadGolden(GetParam());
  ASSERT_EQ(golden.tokens.size(), 150u);
  for (const int piece : {1, 7, 64, 256}) {
    auto server = ChildServer::Start(
        kServer,
        {absl::StrCat("--model=tests/golden/", GetParam()), absl::StrCat("--prompt_piece=", piece),
         "--max_sequence_tokens=1000", "--shutdown_delay=0s"},
        absl::Seconds(60));
    ASSERT_TRUE(server.ok()) << server.status();
    const auto positions = Score((*server)->address(), golden);
    for (const auto& [name, recording] : golden.recordings) {
      SCOPED_TRACE(absl::StrCat("recording ", name, ", pieces of ", piece));
      Compare(positions, recording);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GoldenTest, testing::Values("gdn", "swa", "attn", "lte"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace winnow
