#include "tests/e2e/harness.h"

#include <random>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "model/state_plan.h"
#include "proto/winnow/v1/generation.grpc.pb.h"
#include "server/served_model.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

constexpr char kTokenizer[] = "deploy/demo-model/tokenizer.json";
constexpr absl::Duration kPatience = absl::Seconds(30);

Outcome ToOutcome(const grpc::Status& status, const grpc::ClientContext& context) {
  Outcome outcome;
  outcome.code = static_cast<absl::StatusCode>(status.error_code());
  outcome.message = status.error_message();
  EXPECT_TRUE(outcome.details.ParseFromString(status.error_details()));
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    outcome.trailers[std::string(key.data(), key.size())] = std::string(value.data(), value.size());
  }
  if (const auto peer = context.auth_context(); peer != nullptr) {
    const auto certificates = peer->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (!certificates.empty()) {
      outcome.server_certificate.assign(certificates[0].data(), certificates[0].size());
    }
  }
  return outcome;
}

using Metadata = std::vector<std::pair<std::string, std::string>>;

void AddMetadata(const Metadata& metadata, grpc::ClientContext* context) {
  for (const auto& [key, value] : metadata) context->AddMetadata(key, value);
}

void SetTimeout(absl::Duration timeout, grpc::ClientContext* context) {
  if (timeout == absl::InfiniteDuration()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

class GrpcCall final : public Call {
 public:
  GrpcCall(v1::GenerationService::Stub* stub, const Metadata& metadata,
           const v1::GenerateRequest& request, absl::Duration timeout) {
    AddMetadata(metadata, &context_);
    SetTimeout(timeout, &context_);
    reader_ = stub->Generate(&context_, request);
  }
  ~GrpcCall() override {
    context_.TryCancel();
    if (!finished_) Finish();
  }

  bool Read(v1::GenerateResponse* message) override {
    if (!reader_->Read(message)) return false;
    messages_.push_back(*message);
    return true;
  }
  void Cancel() override { context_.TryCancel(); }
  Outcome Finish() override {
    v1::GenerateResponse message;
    while (Read(&message)) {
    }
    finished_ = true;
    Outcome outcome = ToOutcome(reader_->Finish(), context_);
    outcome.messages = std::move(messages_);
    return outcome;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  std::vector<v1::GenerateResponse> messages_;
  bool finished_ = false;
};

}  // namespace

class LogCapture::Sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  std::vector<std::string> lines() {
    std::lock_guard<std::mutex> lock(mutex_);
    return lines_;
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    lines_.emplace_back(message.payload.data(), message.payload.size());
  }
  void flush_() override {}

  std::vector<std::string> lines_;  // guarded by mutex_
};

LogCapture::LogCapture() : sink_(std::make_shared<Sink>()) {
  spdlog::default_logger()->sinks().push_back(sink_);
  spdlog::set_level(spdlog::level::debug);
}

LogCapture::~LogCapture() {
  spdlog::default_logger()->sinks().pop_back();
  spdlog::set_level(spdlog::level::warn);
}

std::vector<std::string> LogCapture::lines() const { return sink_->lines(); }

int LogCapture::Count(const std::string& text) const {
  int count = 0;
  for (const std::string& line : lines()) count += line.find(text) != std::string::npos;
  return count;
}

ServedModel ServeFake(FakeModel* model, const Tokenizer* tokenizer, const Options& options) {
  const auto plan =
      PlanState(model->state_spec(), *options.state_memory_bytes, options.max_sequences);
  WINNOW_CHECK(plan.ok()) << plan.status();
  ServedModel served;
  served.model = model;
  served.tokenizer = tokenizer;
  served.plan = *plan;
  served.info = DescribeModel(FakeModel::Config(), model->state_spec(), *plan);
  served.info.set_name(options.model_name);
  served.info.set_backend("fake");
  served.info.set_has_tokenizer(tokenizer != nullptr);
  served.info.add_eos_token_ids(2);
  if (options.max_sequence_tokens.has_value()) {
    served.info.set_max_sequence_tokens(*options.max_sequence_tokens);
  }
  return served;
}

Options TestOptions() {
  Options options;
  options.model_name = "fake";
  options.listen = {"127.0.0.1:0"};
  options.state_memory_bytes = 64 << 20;
  options.max_sequences = 8;
  return options;
}

TestServer::TestServer(const Options& options, bool with_tokenizer, Clock clock) {
  static const bool quiet = [] {
    spdlog::set_level(spdlog::level::warn);
    return true;
  }();
  static_cast<void>(quiet);
  if (with_tokenizer) {
    auto tokenizer = Tokenizer::Load(kTokenizer);
    WINNOW_CHECK(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  const auto spec = StateSpec::Create(FakeModel::Config(), {.page_tokens = options.page_tokens});
  WINNOW_CHECK(spec.ok()) << spec.status();
  model_ = std::make_unique<FakeModel>(*spec);
  auto server = Server::Start(
      options, ServeFake(model_.get(), tokenizer_.get(), options),
      [this](const absl::Status& status) {
        std::lock_guard<std::mutex> lock(mu_);
        fatal_ = status;
      },
      std::move(clock));
  WINNOW_CHECK(server.ok()) << server.status();
  server_ = *std::move(server);
}

TestServer::~TestServer() {
  model_->Release();  // the engine must not be waiting for a step
}

std::optional<absl::Status> TestServer::fatal() const {
  std::lock_guard<std::mutex> lock(mu_);
  return fatal_;
}

std::string Outcome::Text() const {
  std::string text;
  for (const auto& message : messages) text += message.delta().text();
  return text;
}

std::vector<uint32_t> Outcome::TokenIds() const {
  std::vector<uint32_t> ids;
  for (const auto& message : messages) {
    ids.insert(ids.end(), message.delta().token_ids().begin(), message.delta().token_ids().end());
  }
  return ids;
}

std::vector<v1::PositionLogprobs> Outcome::Logprobs() const {
  std::vector<v1::PositionLogprobs> all;
  for (const auto& message : messages) {
    all.insert(all.end(), message.delta().logprobs().begin(), message.delta().logprobs().end());
  }
  return all;
}

std::vector<v1::PositionLogprobs> Outcome::PromptLogprobs() const {
  std::vector<v1::PositionLogprobs> all;
  for (const auto& message : messages) {
    const auto& part = message.prompt_logprobs().logprobs();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

v1::PromptInfo Outcome::Prompt() const {
  return messages.empty() ? v1::PromptInfo() : messages.front().prompt();
}

v1::Finish Outcome::Finish() const {
  return messages.empty() ? v1::Finish() : messages.back().finish();
}

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  out << outcome.code << ": " << outcome.message << "\n" << outcome.details.ShortDebugString();
  for (const auto& message : outcome.messages) out << "\n" << message.ShortDebugString();
  return out;
}

struct Client::Impl {
  std::unique_ptr<v1::GenerationService::Stub> stub;
  Metadata metadata;
};

Client::Client(const std::string& address, const std::string& service_config_json)
    : Client(address, Connection{.service_config_json = service_config_json}) {}

Client::Client(const std::string& address, const Connection& connection)
    : impl_(std::make_unique<Impl>()) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetMaxReceiveMessageSize(-1);
  if (!connection.service_config_json.empty()) {
    args.SetServiceConfigJSON(connection.service_config_json);
  }
  const auto credentials = connection.credentials != nullptr ? connection.credentials
                                                             : grpc::InsecureChannelCredentials();
  impl_->stub =
      v1::GenerationService::NewStub(grpc::CreateCustomChannel(address, credentials, args));
  impl_->metadata = connection.metadata;
}

Client::~Client() = default;

std::unique_ptr<Call> Client::Start(const v1::GenerateRequest& request, absl::Duration timeout) {
  return std::make_unique<GrpcCall>(impl_->stub.get(), impl_->metadata, request, timeout);
}

Outcome Client::Tokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse* response) {
  grpc::ClientContext context;
  AddMetadata(impl_->metadata, &context);
  return ToOutcome(impl_->stub->Tokenize(&context, request, response), context);
}

Outcome Client::Detokenize(const v1::DetokenizeRequest& request, v1::DetokenizeResponse* response) {
  grpc::ClientContext context;
  AddMetadata(impl_->metadata, &context);
  return ToOutcome(impl_->stub->Detokenize(&context, request, response), context);
}

Outcome Client::GetModelInfo(const v1::GetModelInfoRequest& request,
                             v1::GetModelInfoResponse* response) {
  grpc::ClientContext context;
  AddMetadata(impl_->metadata, &context);
  return ToOutcome(impl_->stub->GetModelInfo(&context, request, response), context);
}

Outcome Client::GetLoad(v1::GetLoadResponse* response, absl::Duration timeout) {
  grpc::ClientContext context;
  SetTimeout(timeout, &context);
  AddMetadata(impl_->metadata, &context);
  return ToOutcome(impl_->stub->GetLoad(&context, {}, response), context);
}

v1::GetLoadResponse Client::GetLoad() {
  v1::GetLoadResponse response;
  const Outcome outcome = GetLoad(&response);
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  return response;
}

v1::GenerateRequest TextRequest(absl::string_view text, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_text(std::string(text));
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(max_tokens);
  return request;
}

v1::GenerateRequest IdsRequest(std::vector<uint32_t> prompt, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.mutable_token_ids()->mutable_ids()->Assign(prompt.begin(), prompt.end());
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(max_tokens);
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_output()->set_token_ids(true);
  return request;
}

std::vector<uint32_t> SomePrompt(int length, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint32_t> prompt(length);
  for (uint32_t& token : prompt) {
    token = FakeModel::kNumSpecial + random() % (FakeModel::kVocabSize - FakeModel::kNumSpecial);
  }
  return prompt;
}

bool WaitUntil(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

bool IsIdle(const v1::GetLoadResponse& load) {
  return load.running() == 0 && load.waiting() == 0 && load.waiting_prompt_tokens() == 0 &&
         load.slots_used() == 0 && load.slots_reserved() == 0 && load.pages_used() == 0 &&
         load.pages_reserved() == 0;
}

}  // namespace winnow
