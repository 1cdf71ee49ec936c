#include "server/option_flags.h"

#include <limits>

#include "kernels/ops/gated_delta.h"

namespace winnow {
namespace {

constexpr int64_t kAnyNumber = std::numeric_limits<uint32_t>::max();

void AddModelFlags(FlagSet& flags, Options* options) {
  flags.Group("Model");
  flags.Text("model", &options->model,
             "Checkpoint directory: config.json, model.safetensors (or shards with their index), "
             "tokenizer.json (without one, prompts are token ids)");
  flags.Text("model_name", &options->model_name,
             "Name that clients ask for; default: the directory's name");
  flags.Integer("max_sequence_tokens", &options->max_sequence_tokens, 1, int64_t{1} << 40,
                "Longest sequence, prompt and output; default: no limit for models whose state is "
                "bounded, chosen from the state memory for those whose state grows");
}

void AddNetworkFlags(FlagSet& flags, Options* options) {
  flags.Group("Network");
  flags.Addresses(
      "listen", &options->listen,
      "Addresses, separated by commas: host:port, [::1]:port or unix:path; port 0 takes a "
      "free one. Each is printed on stdout as 'listening on ADDRESS'");
  flags.Address("health_listen", &options->health_listen,
                "A plaintext address that answers health checks and nothing else, for probes that "
                "know no TLS. Printed on stdout as 'health listening on ADDRESS'");
  flags.Bytes("max_message_bytes", &options->max_message_bytes, 1 << 10, int64_t{1} << 30,
              "Largest request message");
  flags.Integer("max_connection_streams", &options->max_connection_streams, 1, 1 << 20,
                "Calls that a connection carries at the same time; more wait in the client");
  flags.Duration("max_connection_age", &options->max_connection_age, absl::Seconds(1),
                 absl::Hours(24 * 365),
                 "Asks clients to reconnect after this time, so that load balances anew; running "
                 "calls finish. Default: never");
}

void AddSecurityFlags(FlagSet& flags, Options* options) {
  flags.Group("Security (docs/security.md; files are read again when they change)");
  flags.Text("tls_cert", &options->tls_cert,
             "PEM file with the server's certificate, then intermediate ones. With --tls_key: "
             "every --listen address speaks TLS");
  flags.Text("tls_key", &options->tls_key, "PEM file with its key, without a passphrase");
  flags.Text("tls_client_ca", &options->tls_client_ca,
             "PEM file with CA certificates: clients must show a certificate that one of them "
             "signed");
  flags.Text("auth_file", &options->auth_file,
             "JSON file of tenants: their bearer tokens, limits and permissions. Calls without a "
             "known token are refused; health and reflection stay open");
  flags.Duration("reload_interval", &options->reload_interval, absl::Milliseconds(10),
                 absl::Hours(1), "How often these files are looked at");
}

void AddComputeFlags(FlagSet& flags, Options* options) {
  flags.Group("Compute");
  flags.Choice("backend", &options->backend, {"cpu", "cuda"}, "What computes");
  flags.Integer("threads", &options->threads, 1, 1024,
                "Compute threads of the cpu backend; default: usable cores");
  flags.Choice("compute", &options->compute, {"bf16", "f32"},
               "Numbers of the cuda backend: matrices, activations, keys and values in bf16 with "
               "float32 sums and state, or everything in float32");
  flags.Fraction("gpu_memory_fraction", &options->gpu_memory_fraction,
                 "Part of the GPU's memory that the cuda backend takes, all of it at start");
  flags.Choice("state_dtype", &options->state_dtype, {"f32", "bf16"},
               "Numbers of the recurrent state between steps, with the cuda backend");
  flags.Integer("state_ring", &options->state_ring, 0, kMaxDeltaRing,
                "Tokens in which the cuda backend writes a sequence's recurrent state once: their "
                "inputs wait in a ring beside it. 0 or 1: every step writes it");
  flags.Text("cublaslt", &options->cublaslt,
             "Path of libcublasLt.so.13 for the cuda backend; default: where the loader finds it");
}

void AddStateFlags(FlagSet& flags, Options* options) {
  flags.Group("State");
  flags.Bytes("state_memory", &options->state_memory_bytes, 1 << 10, int64_t{1} << 50,
              "Memory for the sequences' state: slots and pages; default: 4 GiB, with the cuda "
              "backend what --gpu_memory_fraction leaves");
  flags.Integer("max_sequences", &options->max_sequences, 1, 1 << 20,
                "Sequences that run at the same time at most");
  flags.Integer("page_tokens", &options->page_tokens, 1, 4096,
                "Tokens of one layer and kv head in a page");
}

void AddSchedulingFlags(FlagSet& flags, Options* options) {
  flags.Group("Scheduling");
  flags.Integer("max_step_tokens", &options->max_step_tokens, 1, 1 << 20,
                "Tokens that a step computes at most");
  flags.Integer("prompt_piece", &options->prompt_piece, 1, 1 << 20,
                "Tokens in which prompts are cut; lowered to --max_step_tokens if larger");
  flags.Integer("max_waiting", &options->max_waiting, 1, 1 << 20,
                "Requests that wait at most; more are refused with RESOURCE_EXHAUSTED");
  flags.Integer("max_waiting_tokens", &options->max_waiting_tokens, 1, int64_t{1} << 40,
                "Prompt tokens of all waiting requests together, likewise; a request that finds "
                "nobody waiting may always wait");
  flags.Duration("priority_ageing", &options->priority_ageing, absl::Milliseconds(1),
                 absl::Hours(24),
                 "What a level of priority is worth: a waiting request is overtaken only by those "
                 "that come within this time for each level that they are above it");
}

void AddRequestFlags(FlagSet& flags, Options* options) {
  flags.Group("Requests");
  flags.Integer("default_max_tokens", &options->default_max_tokens, 1, kAnyNumber,
                "max_tokens of requests that give none");
  flags.Integer("max_tokens_limit", &options->max_tokens_limit, 1, kAnyNumber,
                "Largest max_tokens that a request may give; default: none");
  flags.Integer("max_prompt_tokens", &options->max_prompt_tokens, 1, int64_t{1} << 40,
                "Longest prompt; default: what fits");
  flags.Integer("max_choices", &options->max_choices, 1, 16,
                "Largest n (choices from one prompt); never more than there are slots");
  flags.Integer("max_stop_strings", &options->max_stop_strings, 0, 16,
                "Stop strings of a request at most");
  flags.Integer("max_logit_bias", &options->max_logit_bias, 0, 1 << 20,
                "Tokens with a logit bias of a request at most");
  flags.Integer("max_prompt_logprobs", &options->max_prompt_logprobs, 1, int64_t{1} << 32,
                "Largest number of prompt logprobs of a request: prompt tokens times (alternatives "
                "+ 1)");
  flags.Integer("stream_buffer_tokens", &options->stream_buffer_tokens, 1, 1 << 20,
                "Output tokens held for a client that reads too slowly; one more ends its request "
                "with RESOURCE_EXHAUSTED");
}

void AddShutdownFlags(FlagSet& flags, Options* options) {
  flags.Group("Shutdown");
  flags.Duration(
      "shutdown_delay", &options->shutdown_delay, absl::ZeroDuration(), absl::Hours(1),
      "After SIGTERM or SIGINT health says NOT_SERVING, and requests are still taken for "
      "this time, so that load balancers can turn away");
  flags.Duration("drain_timeout", &options->drain_timeout, absl::ZeroDuration(), absl::Hours(24),
                 "Then running requests may finish for this time. A second signal ends at once");
}

void AddMetricsFlags(FlagSet& flags, Options* options) {
  flags.Group("Metrics (docs/metrics.md)");
  flags.Integer("metrics_port", &options->metrics_port, 0, 65535,
                "Port, on all interfaces, for Prometheus: plaintext HTTP at /metrics. 0: none");
  flags.Choice("metrics_aliases", &options->metrics_aliases, {"none", "vllm"},
               "Also gives some metrics the names that inference gateways know");
}

void AddLoggingFlags(FlagSet& flags, Options* options) {
  flags.Group("Logging");
  flags.Choice("log_level", &options->log_level, {"debug", "info", "warn", "error", "off"},
               "Least level that goes to stderr. Answers are never logged");
  flags.Choice("log_format", &options->log_format, {"text", "json"},
               "Lines for people, or an object a line");
  flags.Switch("log_requests", &options->log_requests,
               "Logs prompts too, at level info, cut at 1 KiB");
}

void AddExperimentFlags(FlagSet& flags, Options* options) {
  flags.Group("Experiments (not for serving: the model is not what was trained; docs/evidence.md)");
  flags.Integer("experiment_buffer_size", &options->experiment_buffer_size, 0, 1 << 20,
                "Tokens that a head with learned eviction keeps at most; 0: the window alone, not "
                "even the first tokens. Default: the checkpoint's");
  flags.Choice(
      "experiment_retention", &options->experiment_retention, {"learned", "recency", "random"},
      "What decides which tokens it keeps beside the first ones: the router's scores, how new "
      "they are, or a draw; the last two need the cpu backend");
  flags.Integer("experiment_seed", &options->experiment_seed, 0, kAnyNumber,
                "What the random sample follows from");
}

}  // namespace

void AddOptionFlags(Options* options, FlagSet* flags) {
  AddModelFlags(*flags, options);
  AddNetworkFlags(*flags, options);
  AddSecurityFlags(*flags, options);
  AddComputeFlags(*flags, options);
  AddStateFlags(*flags, options);
  AddSchedulingFlags(*flags, options);
  AddRequestFlags(*flags, options);
  AddShutdownFlags(*flags, options);
  AddMetricsFlags(*flags, options);
  AddLoggingFlags(*flags, options);
  AddExperimentFlags(*flags, options);
}

}  // namespace winnow
