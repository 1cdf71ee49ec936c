// What is too large is refused by gRPC itself, and nobody else notices.
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

void ExpectServes(TestServer& server) {
  Client client(server.address());
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(5), 3));
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(SizeLimitsTest, MessageAboveTheLimit) {
  Options options = TestOptions();
  options.max_message_bytes = 4096;
  TestServer server(options);
  Client client(server.address());
  const Outcome outcome = client.Generate(TextRequest(std::string(5000, 'a'), 3));
  EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << outcome;
  EXPECT_THAT(outcome.message, HasSubstr("4096"));
  v1::TokenizeRequest request;
  request.set_text(std::string(5000, 'a'));
  v1::TokenizeResponse response;
  EXPECT_EQ(client.Tokenize(request, &response).code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(client.Generate(TextRequest(std::string(3000, 'a'), 3)).code, absl::StatusCode::kOk)
      << "on the same connection";
  ExpectServes(server);
}

TEST(SizeLimitsTest, MetadataAboveTheLimit) {
  TestServer server;
  // The second one is more than HTTP/2 carries in one frame.
  for (const size_t size : {size_t{20} << 10, size_t{1} << 20}) {
    Client huge(server.address(), Connection{.metadata = {{"x-huge", std::string(size, 'a')}}});
    const Outcome outcome = huge.Generate(IdsRequest(SomePrompt(5), 3));
    EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << size << ": " << outcome;
    ExpectServes(server);
  }
  Client large(server.address(), Connection{.metadata = {{"x-large", std::string(12'000, 'a')}}});
  EXPECT_EQ(large.Generate(IdsRequest(SomePrompt(5), 3)).code, absl::StatusCode::kOk);
}

TEST(SizeLimitsTest, StreamsAboveTheLimitWaitInTheClient) {
  Options options = TestOptions();
  options.max_connection_streams = 2;
  TestServer server(options);
  Client client(server.address()), observer(server.address());
  server.model().HoldSteps();
  std::vector<std::thread> calls;  // a call that waits in the client blocks who starts it
  for (int i = 0; i < 5; ++i) {
    calls.emplace_back([&client, i] {
      EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(5, i), 3)).TokenIds(),
                FakeModel::GreedyAnswer(SomePrompt(5, i), 3));
    });
  }
  server.model().WaitUntilHeld();
  const auto taken = [&] {
    const v1::GetLoadResponse load = observer.GetLoad();
    return load.running() + load.waiting();
  };
  EXPECT_TRUE(WaitUntil([&] { return taken() == 2; }));
  v1::GetLoadResponse load;
  EXPECT_EQ(client.GetLoad(&load, absl::Milliseconds(50)).code, absl::StatusCode::kDeadlineExceeded)
      << "two are all that this connection carries";
  server.model().Release();
  for (std::thread& call : calls) call.join();
}

}  // namespace
}  // namespace winnow
