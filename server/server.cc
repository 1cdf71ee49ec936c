#include "server/server.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace winnow {
namespace {

constexpr int kTextThreads = 2;
// For connections to end in order once no stream is open. Not all do: a client without a call does
// not answer, and those that watch health never leave by themselves.
constexpr absl::Duration kGoodbye = absl::Milliseconds(250);

EngineOptions MakeEngineOptions(const Options& options, const StatePlan& plan,
                                std::function<void(const absl::Status&)> on_fatal) {
  EngineOptions engine;
  engine.scheduler.num_slots = plan.num_slots;
  engine.scheduler.num_pages = plan.num_pages;
  engine.scheduler.max_step_tokens = options.max_step_tokens;
  engine.scheduler.prompt_piece = options.prompt_piece;
  engine.scheduler.max_waiting = options.max_waiting;
  engine.scheduler.max_waiting_tokens = options.max_waiting_tokens;
  engine.scheduler.priority_ageing = options.priority_ageing;
  engine.on_fatal = std::move(on_fatal);
  return engine;
}

RequestLimits MakeLimits(const Options& options, const StatePlan& plan,
                         const v1::GetModelInfoResponse& info) {
  RequestLimits limits;
  limits.model_name = info.name();
  limits.vocab_size = info.vocab_size();
  limits.has_tokenizer = info.has_tokenizer();
  limits.eos_token_ids.assign(info.eos_token_ids().begin(), info.eos_token_ids().end());
  limits.default_max_tokens = static_cast<uint32_t>(options.default_max_tokens);
  if (options.max_tokens_limit.has_value()) {
    limits.max_tokens_limit = static_cast<uint32_t>(*options.max_tokens_limit);
  }
  if (info.has_max_sequence_tokens()) {
    limits.max_sequence_tokens = static_cast<int64_t>(info.max_sequence_tokens());
  }
  limits.max_prompt_logprobs = options.max_prompt_logprobs;
  limits.max_prompt_tokens = options.max_prompt_tokens;
  // Choices run side by side: as many as there are slots.
  limits.max_choices = static_cast<uint32_t>(std::min(options.max_choices, plan.num_slots));
  limits.max_stop_strings = options.max_stop_strings;
  limits.max_logit_bias = options.max_logit_bias;
  return limits;
}

GrpcServerOptions MakeGrpcOptions(const Options& options,
                                  std::shared_ptr<grpc::ServerCredentials> credentials) {
  GrpcServerOptions grpc;
  grpc.listen = options.listen;
  grpc.max_message_bytes = options.max_message_bytes;
  grpc.max_connection_streams = options.max_connection_streams;
  grpc.max_connection_age = options.max_connection_age;
  grpc.credentials = std::move(credentials);
  if (!options.health_listen.empty()) grpc.health_listen = options.health_listen;
  return grpc;
}

MetricsSources MakeMetricsSources(const Options& options, const ServiceContext* context) {
  MetricsSources sources;
  sources.engine = [context] {
    EngineStats stats = context->engine->Stats();
    stats.draining |= context->shutting_down;
    return stats;
  };
  sources.calls = &context->call_counts;
  sources.model = context->info;
  sources.vllm_aliases = options.metrics_aliases == "vllm";
  return sources;
}

std::vector<KeptHead> KeptHeads(const StateSpec& spec) {
  std::vector<KeptHead> heads(spec.num_kept_lists());
  for (const PageList& list : spec.lists()) {
    if (list.kind != PageListKind::kKept) continue;
    heads[list.kept_index] = {static_cast<uint32_t>(list.layer),
                              static_cast<uint32_t>(list.kv_head)};
  }
  return heads;
}

}  // namespace

Server::Server(const Options& options, const ServedModel& served,
               std::function<void(const absl::Status&)> on_fatal)
    : text_queue_("winnow-text", kTextThreads),
      delivery_queue_("winnow-deliver", 1),
      engine_(std::make_unique<Engine>(
          served.model, MakeEngineOptions(options, served.plan, std::move(on_fatal)))),
      service_(&context_) {
  context_.info = served.info;
  context_.limits = MakeLimits(options, served.plan, served.info);
  context_.kept_heads = KeptHeads(served.model->state_spec());
  context_.stream_buffer_tokens = options.stream_buffer_tokens;
  context_.max_waiting_texts = static_cast<size_t>(options.max_waiting);
  context_.log_requests = options.log_requests;
  context_.tokenizer = served.tokenizer;
  context_.engine = engine_.get();
  context_.text_queue = &text_queue_;
  context_.delivery_queue = &delivery_queue_;
  metrics_ = std::make_shared<Metrics>(MakeMetricsSources(options, &context_));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const Options& options, const ServedModel& served,
    std::function<void(const absl::Status&)> on_fatal, Clock clock) {
  auto security = Security::Load(options, std::move(clock));
  if (!security.ok()) return security.status();
  std::unique_ptr<Server> server(new Server(options, served, std::move(on_fatal)));
  server->context_.access = (*security)->access();
  server->security_ = *std::move(security);
  auto grpc = GrpcServer::Start(MakeGrpcOptions(options, server->security_->credentials()),
                                &server->service_);
  if (!grpc.ok()) return grpc.status();
  server->grpc_ = *std::move(grpc);
  if (options.metrics_port != 0) {
    auto port = MetricsPort::Start(static_cast<int>(options.metrics_port), server->metrics_);
    if (!port.ok()) return port.status();
    server->metrics_port_ = *std::move(port);
  }
  return server;
}

Server::~Server() = default;

std::optional<std::string> Server::metrics_address() const {
  if (metrics_port_ == nullptr) return std::nullopt;
  return metrics_port_->address();
}

void Server::AnnounceShutdown() {
  context_.shutting_down = true;
  grpc_->SetNotServing();
}

void Server::Drain(absl::Time deadline) { engine_->Drain(deadline); }

void Server::Close(absl::Time deadline) {
  context_.streams.WaitForNone(deadline);
  grpc_->Shutdown(std::min(deadline, absl::Now() + kGoodbye));
}

}  // namespace winnow
