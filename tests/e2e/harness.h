// For end-to-end tests: a server around a FakeModel, on a free loopback port, and a client that
// speaks real gRPC to it.
//
//   TestServer server;
//   Client client(server.address());
//   Outcome outcome = client.Generate(TextRequest("hello", 8));
//   EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
//
// Tests wait for conditions (WaitUntil), never for a time.
#ifndef WINNOW_TESTS_E2E_HARNESS_H_
#define WINNOW_TESTS_E2E_HARNESS_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/tokenizer/tokenizer.h"
#include "proto/google/rpc/status.pb.h"
#include "proto/winnow/v1/generation.pb.h"
#include "server/options.h"
#include "server/served_model.h"
#include "server/server.h"
#include "server/tenant.h"
#include "tests/e2e/fake_model.h"

namespace grpc {
class ChannelCredentials;
}

namespace winnow {

// 8 sequences, a queue of 1024, any free loopback port, no delays.
Options TestOptions();

// A FakeModel as a server sees it. `tokenizer` may be null.
ServedModel ServeFake(FakeModel* model, const Tokenizer* tokenizer, const Options& options);

class TestServer {
 public:
  // `clock` is the one of tenants' limits.
  explicit TestServer(const Options& options = TestOptions(), bool with_tokenizer = true,
                      Clock clock = absl::Now);
  ~TestServer();

  const std::string& address() const { return server_->addresses()[0]; }
  Server& server() { return *server_; }
  FakeModel& model() { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // What on_fatal was told.
  std::optional<absl::Status> fatal() const;

 private:
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<FakeModel> model_;
  mutable std::mutex mu_;
  std::optional<absl::Status> fatal_;  // guarded by mu_
  std::unique_ptr<Server> server_;
};

// How a call ended.
struct Outcome {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;
  google::rpc::Status details;  // from grpc-status-details-bin
  std::map<std::string, std::string> trailers;
  std::string server_certificate;              // PEM; empty without TLS
  std::vector<v1::GenerateResponse> messages;  // of Generate, all that were read

  // The detail of this type, empty if there is none (a failure of the test).
  template <typename Detail>
  Detail Get() const;
  // All deltas' together.
  std::string Text() const;
  std::vector<uint32_t> TokenIds() const;
  std::vector<v1::PositionLogprobs> Logprobs() const;
  std::vector<v1::PositionLogprobs> PromptLogprobs() const;
  // The prompt's and the last message; default ones if there are none.
  v1::PromptInfo Prompt() const;
  v1::Finish Finish() const;
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome);

// A Generate call in progress. Cancel from any thread, everything else from one.
class Call {
 public:
  virtual ~Call() = default;  // cancels
  // The next message; false at the end of the stream.
  virtual bool Read(v1::GenerateResponse* message) = 0;
  virtual void Cancel() = 0;
  // Reads what is left, and the status.
  virtual Outcome Finish() = 0;
};

// How a client connects.
struct Connection {
  std::string service_config_json = {};
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;  // null: plaintext
  std::vector<std::pair<std::string, std::string>> metadata = {};   // sent with every call
};

class Client {
 public:
  // Each client has its own connection.
  explicit Client(const std::string& address, const std::string& service_config_json = "");
  Client(const std::string& address, const Connection& connection);
  ~Client();

  std::unique_ptr<Call> Start(const v1::GenerateRequest& request,
                              absl::Duration timeout = absl::InfiniteDuration());
  Outcome Generate(const v1::GenerateRequest& request,
                   absl::Duration timeout = absl::InfiniteDuration()) {
    return Start(request, timeout)->Finish();
  }
  Outcome Tokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse* response);
  Outcome Detokenize(const v1::DetokenizeRequest& request, v1::DetokenizeResponse* response);
  Outcome GetModelInfo(const v1::GetModelInfoRequest& request, v1::GetModelInfoResponse* response);
  Outcome GetLoad(v1::GetLoadResponse* response, absl::Duration timeout = absl::InfiniteDuration());
  // Fails the test if there is no answer.
  v1::GetLoadResponse GetLoad();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

v1::GenerateRequest TextRequest(absl::string_view text, uint32_t max_tokens);
// Greedy, ignoring end-of-text tokens, answered with token ids.
v1::GenerateRequest IdsRequest(std::vector<uint32_t> prompt, uint32_t max_tokens);
// Some prompt of this length, different for each seed.
std::vector<uint32_t> SomePrompt(int length, uint64_t seed = 1);

// Collects what the server logs while it exists; otherwise tests log warnings only. One at a time.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  std::vector<std::string> lines() const;
  // How many lines contain `text`.
  int Count(const std::string& text) const;

 private:
  class Sink;
  std::shared_ptr<Sink> sink_;
};

// Polls until `condition` holds; false after half a minute.
bool WaitUntil(const std::function<bool()>& condition);
// Nothing runs, waits, or holds a slot or page.
bool IsIdle(const v1::GetLoadResponse& load);

template <typename Detail>
Detail Outcome::Get() const {
  Detail detail;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&detail)) break;
  }
  return detail;
}

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_HARNESS_H_
