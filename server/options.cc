#include "server/options.h"

#include <sched.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <sstream>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "kernels/ops/gated_delta.h"
#include "server/units.h"
#include "server/version.h"

namespace winnow {
namespace {

constexpr int64_t kAnyNumber = std::numeric_limits<uint32_t>::max();

// Cores that this process may use.
int64_t UsableCores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

[[noreturn]] void Refuse(absl::string_view flag, absl::string_view value, absl::string_view why) {
  throw CLI::ValidationError(absl::StrCat(flag, "=", value, ": ", why));
}

constexpr size_t kHelpColumn = 34;
constexpr size_t kHelpWidth = 100 - kHelpColumn;

// Breaks a text into lines of kHelpWidth; CLI11 indents what follows a line break.
std::string Wrapped(absl::string_view text) {
  std::string lines;
  size_t length = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const bool fits = length + 1 + word.size() <= kHelpWidth;
    if (length > 0) lines += fits ? ' ' : '\n';
    length = length > 0 && fits ? length + 1 + word.size() : word.size();
    lines.append(word.data(), word.size());
  }
  return lines;
}

// Adds flags to a CLI11 app; a value out of range ends the parse with a message in one form.
class Flags {
 public:
  explicit Flags(CLI::App* app) : app_(app) {}

  void Group(std::string name) { group_ = std::move(name); }

  void Text(const std::string& flag, std::string* value, const std::string& help) {
    Add(flag, "TEXT", *value, help, [=](const std::string& text) {
      if (text.empty()) Refuse(flag, text, "must not be empty");
      *value = text;
    });
  }

  void Choice(const std::string& flag, std::string* value, std::vector<std::string> choices,
              const std::string& help) {
    const std::string all = absl::StrJoin(choices, ", ");
    Add(flag, "NAME", *value, absl::StrCat(help, ": ", all), [=](const std::string& text) {
      for (const std::string& choice : choices) {
        if (text == choice) *value = text;
      }
      if (*value != text) Refuse(flag, text, absl::StrCat("must be one of: ", all));
    });
  }

  void Integer(const std::string& flag, int64_t* value, int64_t min, int64_t max,
               const std::string& help) {
    Add(flag, "N", absl::StrCat(*value), help,
        [=](const std::string& text) { *value = CheckedInteger(flag, text, min, max); });
  }
  void Integer(const std::string& flag, std::optional<int64_t>* value, int64_t min, int64_t max,
               const std::string& help) {
    Add(flag, "N", "", help,
        [=](const std::string& text) { *value = CheckedInteger(flag, text, min, max); });
  }

  void Fraction(const std::string& flag, double* value, const std::string& help) {
    Add(flag, "X", absl::StrCat(*value), help, [=](const std::string& text) {
      double fraction = 0;
      if (!absl::SimpleAtod(text, &fraction) || !(fraction > 0 && fraction <= 1)) {
        Refuse(flag, text, "must be a number above 0 and at most 1");
      }
      *value = fraction;
    });
  }

  void Bytes(const std::string& flag, int64_t* value, int64_t min, int64_t max,
             const std::string& help) {
    Add(flag, "SIZE", FormatBytes(*value), help,
        [=](const std::string& text) { *value = CheckedBytes(flag, text, min, max); });
  }
  void Bytes(const std::string& flag, std::optional<int64_t>* value, int64_t min, int64_t max,
             const std::string& help) {
    Add(flag, "SIZE", "", help,
        [=](const std::string& text) { *value = CheckedBytes(flag, text, min, max); });
  }

  void Duration(const std::string& flag, absl::Duration* value, absl::Duration min,
                absl::Duration max, const std::string& help) {
    Add(flag, "TIME", absl::FormatDuration(*value), help,
        [=](const std::string& text) { *value = CheckedDuration(flag, text, min, max); });
  }
  void Duration(const std::string& flag, std::optional<absl::Duration>* value, absl::Duration min,
                absl::Duration max, const std::string& help) {
    Add(flag, "TIME", "", help,
        [=](const std::string& text) { *value = CheckedDuration(flag, text, min, max); });
  }

  // Given without a value.
  void Switch(const std::string& flag, bool* value, const std::string& help) {
    app_->add_flag(flag, *value, Wrapped(help))->group(group_);
  }

  void Custom(const std::string& flag, const std::string& type, const std::string& default_text,
              const std::string& help, std::function<void(const std::string&)> parse) {
    Add(flag, type, default_text, help, std::move(parse));
  }

 private:
  void Add(const std::string& flag, const std::string& type, const std::string& default_text,
           const std::string& help, std::function<void(const std::string&)> parse) {
    CLI::Option* option = app_->add_option_function<std::string>(flag, parse, Wrapped(help));
    option->type_name(type)->group(group_)->multi_option_policy(CLI::MultiOptionPolicy::Throw);
    if (!default_text.empty()) option->default_str(default_text);
  }

  static int64_t CheckedInteger(const std::string& flag, const std::string& text, int64_t min,
                                int64_t max) {
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
      Refuse(flag, text, absl::StrCat("must be a whole number from ", min, " to ", max));
    }
    return value;
  }

  static int64_t CheckedBytes(const std::string& flag, const std::string& text, int64_t min,
                              int64_t max) {
    const absl::StatusOr<int64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) Refuse(flag, text, bytes.status().message());
    if (*bytes < min || *bytes > max) {
      Refuse(flag, text, absl::StrCat("must be from ", FormatBytes(min), " to ", FormatBytes(max)));
    }
    return *bytes;
  }

  static absl::Duration CheckedDuration(const std::string& flag, const std::string& text,
                                        absl::Duration min, absl::Duration max) {
    const absl::StatusOr<absl::Duration> value = ParseDuration(text);
    if (!value.ok()) Refuse(flag, text, value.status().message());
    if (*value < min || *value > max) {
      Refuse(flag, text,
             absl::StrCat("must be from ", absl::FormatDuration(min), " to ",
                          absl::FormatDuration(max)));
    }
    return *value;
  }

  CLI::App* app_;
  std::string group_;
};

void CheckAddress(const std::string& flag, const std::string& address) {
  constexpr absl::string_view kForms = "must be host:port, [IPv6]:port or unix:path";
  if (address.starts_with("unix:")) {
    if (address.size() == 5) Refuse(flag, address, kForms);
    return;
  }
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0) Refuse(flag, address, kForms);
  const absl::string_view host = absl::string_view(address).substr(0, colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (!bracketed && host.find(':') != absl::string_view::npos) Refuse(flag, address, kForms);
  const absl::string_view port_text = absl::string_view(address).substr(colon + 1);
  if (!absl::SimpleAtoi(port_text, &port) || port < 0 || port > 65535) {
    Refuse(flag, address, "the port must be a whole number from 0 (any free one) to 65535");
  }
}

void AddModelFlags(Flags& flags, Options* options) {
  flags.Group("Model");
  flags.Text("--model", &options->model,
             "Checkpoint directory: config.json, model.safetensors (or shards with their index), "
             "tokenizer.json (without one, prompts are token ids)");
  flags.Text("--model_name", &options->model_name,
             "Name that clients ask for; default: the directory's name");
  flags.Integer("--max_sequence_tokens", &options->max_sequence_tokens, 1, int64_t{1} << 40,
                "Longest sequence, prompt and output; default: no limit for models whose state is "
                "bounded, chosen from the state memory for those whose state grows");
}

void AddNetworkFlags(Flags& flags, Options* options) {
  flags.Group("Network");
  flags.Custom("--listen", "ADDRESS", absl::StrJoin(options->listen, ","),
               "Addresses, separated by commas: host:port, [::1]:port or unix:path; port 0 takes a "
               "free one. Each is printed on stdout as 'listening on ADDRESS'",
               [options](const std::string& text) {
                 options->listen = absl::StrSplit(text, ',');
                 for (const std::string& address : options->listen)
                   CheckAddress("--listen", address);
               });
  flags.Custom("--health_listen", "ADDRESS", "",
               "A plaintext address that answers health checks and nothing else, for probes that "
               "know no TLS. Printed on stdout as 'health listening on ADDRESS'",
               [options](const std::string& text) {
                 CheckAddress("--health_listen", text);
                 options->health_listen = text;
               });
  flags.Bytes("--max_message_bytes", &options->max_message_bytes, 1 << 10, int64_t{1} << 30,
              "Largest request message");
  flags.Integer("--max_connection_streams", &options->max_connection_streams, 1, 1 << 20,
                "Calls that a connection carries at the same time; more wait in the client");
  flags.Duration("--max_connection_age", &options->max_connection_age, absl::Seconds(1),
                 absl::Hours(24 * 365),
                 "Asks clients to reconnect after this time, so that load balances anew; running "
                 "calls finish. Default: never");
}

void AddSecurityFlags(Flags& flags, Options* options) {
  flags.Group("Security (docs/security.md; files are read again when they change)");
  flags.Text("--tls_cert", &options->tls_cert,
             "PEM file with the server's certificate, then intermediate ones. With --tls_key: "
             "every --listen address speaks TLS");
  flags.Text("--tls_key", &options->tls_key, "PEM file with its key, without a passphrase");
  flags.Text("--tls_client_ca", &options->tls_client_ca,
             "PEM file with CA certificates: clients must show a certificate that one of them "
             "signed");
  flags.Text("--auth_file", &options->auth_file,
             "JSON file of tenants: their bearer tokens, limits and permissions. Calls without a "
             "known token are refused; health and reflection stay open");
  flags.Duration("--reload_interval", &options->reload_interval, absl::Milliseconds(10),
                 absl::Hours(1), "How often these files are looked at");
}

void AddComputeFlags(Flags& flags, Options* options) {
  flags.Group("Compute");
  flags.Choice("--backend", &options->backend, {"cpu", "cuda"}, "What computes");
  flags.Integer("--threads", &options->threads, 1, 1024,
                "Compute threads of the cpu backend; default: usable cores");
  flags.Choice("--compute", &options->compute, {"bf16", "f32"},
               "Numbers of the cuda backend: matrices, activations, keys and values in bf16 with "
               "float32 sums and state, or everything in float32");
  flags.Fraction("--gpu_memory_fraction", &options->gpu_memory_fraction,
                 "Part of the GPU's memory that the cuda backend takes, all of it at start");
  flags.Choice("--state_dtype", &options->state_dtype, {"f32", "bf16"},
               "Numbers of the recurrent state between steps, with the cuda backend");
  flags.Integer("--state_ring", &options->state_ring, 0, kMaxDeltaRing,
                "Tokens in which the cuda backend writes a sequence's recurrent state once: their "
                "inputs wait in a ring beside it. 0 or 1: every step writes it");
  flags.Text("--cublaslt", &options->cublaslt,
             "Path of libcublasLt.so.13 for the cuda backend; default: where the loader finds it");
}

void AddStateFlags(Flags& flags, Options* options) {
  flags.Group("State");
  flags.Bytes("--state_memory", &options->state_memory_bytes, 1 << 10, int64_t{1} << 50,
              "Memory for the sequences' state: slots and pages; default: 4 GiB, with the cuda "
              "backend what --gpu_memory_fraction leaves");
  flags.Integer("--max_sequences", &options->max_sequences, 1, 1 << 20,
                "Sequences that run at the same time at most");
  flags.Integer("--page_tokens", &options->page_tokens, 1, 4096,
                "Tokens of one layer and kv head in a page");
}

void AddSchedulingFlags(Flags& flags, Options* options) {
  flags.Group("Scheduling");
  flags.Integer("--max_step_tokens", &options->max_step_tokens, 1, 1 << 20,
                "Tokens that a step computes at most");
  flags.Integer("--prompt_piece", &options->prompt_piece, 1, 1 << 20,
                "Tokens in which prompts are cut; lowered to --max_step_tokens if larger");
  flags.Integer("--max_waiting", &options->max_waiting, 1, 1 << 20,
                "Requests that wait at most; more are refused with RESOURCE_EXHAUSTED");
  flags.Integer("--max_waiting_tokens", &options->max_waiting_tokens, 1, int64_t{1} << 40,
                "Prompt tokens of all waiting requests together, likewise; a request that finds "
                "nobody waiting may always wait");
  flags.Duration("--priority_ageing", &options->priority_ageing, absl::Milliseconds(1),
                 absl::Hours(24),
                 "What a level of priority is worth: a waiting request is overtaken only by those "
                 "that come within this time for each level that they are above it");
}

void AddRequestFlags(Flags& flags, Options* options) {
  flags.Group("Requests");
  flags.Integer("--default_max_tokens", &options->default_max_tokens, 1, kAnyNumber,
                "max_tokens of requests that give none");
  flags.Integer("--max_tokens_limit", &options->max_tokens_limit, 1, kAnyNumber,
                "Largest max_tokens that a request may give; default: none");
  flags.Integer("--max_prompt_tokens", &options->max_prompt_tokens, 1, int64_t{1} << 40,
                "Longest prompt; default: what fits");
  flags.Integer("--max_choices", &options->max_choices, 1, 16,
                "Largest n (choices from one prompt); never more than there are slots");
  flags.Integer("--max_stop_strings", &options->max_stop_strings, 0, 16,
                "Stop strings of a request at most");
  flags.Integer("--max_logit_bias", &options->max_logit_bias, 0, 1 << 20,
                "Tokens with a logit bias of a request at most");
  flags.Integer("--max_prompt_logprobs", &options->max_prompt_logprobs, 1, int64_t{1} << 32,
                "Largest number of prompt logprobs of a request: prompt tokens times (alternatives "
                "+ 1)");
  flags.Integer("--stream_buffer_tokens", &options->stream_buffer_tokens, 1, 1 << 20,
                "Output tokens held for a client that reads too slowly; one more ends its request "
                "with RESOURCE_EXHAUSTED");
}

void AddShutdownFlags(Flags& flags, Options* options) {
  flags.Group("Shutdown");
  flags.Duration(
      "--shutdown_delay", &options->shutdown_delay, absl::ZeroDuration(), absl::Hours(1),
      "After SIGTERM or SIGINT health says NOT_SERVING, and requests are still taken for "
      "this time, so that load balancers can turn away");
  flags.Duration("--drain_timeout", &options->drain_timeout, absl::ZeroDuration(), absl::Hours(24),
                 "Then running requests may finish for this time. A second signal ends at once");
}

void AddFlags(CLI::App* app, Options* options) {
  Flags flags(app);
  AddModelFlags(flags, options);
  AddNetworkFlags(flags, options);
  AddSecurityFlags(flags, options);
  AddComputeFlags(flags, options);
  AddStateFlags(flags, options);
  AddSchedulingFlags(flags, options);
  AddRequestFlags(flags, options);
  AddShutdownFlags(flags, options);
  flags.Group("Logging");
  flags.Choice("--log_level", &options->log_level, {"debug", "info", "warn", "error", "off"},
               "Least level that goes to stderr. Answers are never logged");
  flags.Switch("--log_requests", &options->log_requests,
               "Logs prompts too, at level info, cut at 1 KiB");
}

// The last component of the directory, however it is written: "a/b/", "." and "a/.." included.
std::string BaseName(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::weakly_canonical(directory, error);
  if (error) path = std::filesystem::path(directory).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().empty() ? "model" : path.filename().string();
}

void CheckTlsFlags(const Options& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    const bool cert = !options.tls_cert.empty();
    Refuse(cert ? "--tls_cert" : "--tls_key", cert ? options.tls_cert : options.tls_key,
           absl::StrCat("needs ", cert ? "--tls_key" : "--tls_cert", " too"));
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    Refuse("--tls_client_ca", options.tls_client_ca, "needs --tls_cert and --tls_key too");
  }
}

void CheckStateFlags(const Options& options) {
  const bool has_ring = options.state_ring > 1;
  const std::string ring = absl::StrCat(options.state_ring);
  if (options.backend != "cuda") {
    if (has_ring) Refuse("--state_ring", ring, "needs --backend=cuda");
    if (options.state_dtype != "f32") {
      Refuse("--state_dtype", options.state_dtype, "needs --backend=cuda");
    }
  }
  if (has_ring && options.state_dtype != "f32") {
    Refuse("--state_ring", ring,
           absl::StrCat("needs --state_dtype=f32, not ", options.state_dtype));
  }
}

// What involves several flags.
void Finish(Options* options) {
  if (options->model.empty()) {
    throw CLI::RequiredError("--model=DIR (the checkpoint directory)");
  }
  if (options->model_name.empty()) options->model_name = BaseName(options->model);
  CheckTlsFlags(*options);
  CheckStateFlags(*options);
  if (options->max_tokens_limit.has_value() &&
      *options->max_tokens_limit < options->default_max_tokens) {
    Refuse("--max_tokens_limit", absl::StrCat(*options->max_tokens_limit),
           absl::StrCat("must not be below --default_max_tokens=", options->default_max_tokens));
  }
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  Options options;
  options.threads = UsableCores();
  CLI::App app("Serves a hybrid linear-attention language model over gRPC.\n", "winnow-server");
  app.footer(
      "\nSizes: 64MiB, 4GiB. Times: 250ms, 5s, 1m30s.\n"
      "Exit codes: 0 after a signal, 1 wrong usage or a model that cannot be loaded, 3 the compute "
      "device failed.");
  app.get_formatter()->column_width(kHelpColumn);
  app.set_version_flag("--version", absl::StrCat("winnow-server ", kVersion));
  AddFlags(&app, &options);

  CommandLine line;
  try {
    app.parse(argc, argv);
    Finish(&options);
    line.options = std::move(options);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::CallForVersion& version) {
    line.text = absl::StrCat(version.what(), "\n");
  } catch (const CLI::ParseError& error) {
    line.text = absl::StrCat("winnow-server: ", error.what(), "\nRun with --help for all flags.\n");
    line.exit_code = 1;
  }
  return line;
}

}  // namespace winnow
