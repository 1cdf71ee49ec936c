// Options: everything that the server's command line says, and the file that it may name with
// --config, in one validated struct.
//
//   CommandLine line = ParseCommandLine(argc, argv);
//   if (!line.options) { (line.exit_code == 0 ? std::cout : std::cerr) << line.text; return
//   line.exit_code; }
//
// Every error names the flag, the value given and what is allowed, and where it is in the file.
#ifndef WINNOW_SERVER_OPTIONS_H_
#define WINNOW_SERVER_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace winnow {

struct Options {
  // Model.
  std::string model;       // checkpoint directory
  std::string model_name;  // what clients call it
  std::optional<int64_t> max_sequence_tokens;

  // Network. Addresses are "host:port", "[::1]:port" or "unix:path".
  std::vector<std::string> listen = {"127.0.0.1:50051"};
  std::string health_listen;                      // one address; empty: none
  int64_t max_message_bytes = int64_t{64} << 20;  // received
  int64_t max_connection_streams = 4096;
  std::optional<absl::Duration>
      max_connection_age;  // none: connections live as long as clients like

  // Security. Paths; empty: not given.
  std::string tls_cert, tls_key;  // both or neither
  std::string tls_client_ca;      // only with those
  std::string auth_file;
  absl::Duration reload_interval = absl::Seconds(1);

  // Compute.
  std::string backend = "cpu";
  int64_t threads = 1;  // ParseCommandLine: the usable cores
  // With the cuda backend only.
  std::string compute = "bf16";
  double gpu_memory_fraction = 0.9;  // (0, 1]
  std::string cublaslt;              // path of the library; empty: where the loader finds it
  std::string state_dtype = "f32";
  int64_t state_ring = 0;  // 0 and 1: none

  // State.
  std::optional<int64_t> state_memory_bytes;  // none: chosen by the backend (StateMemory)
  int64_t max_sequences = 256;
  int64_t page_tokens = 16;

  // Scheduling.
  int64_t max_step_tokens = 512;
  int64_t prompt_piece = 256;
  int64_t max_waiting = 1024;
  int64_t max_waiting_tokens = int64_t{16} << 20;
  absl::Duration priority_ageing = absl::Seconds(10);

  // Requests.
  int64_t default_max_tokens = 256;
  std::optional<int64_t> max_tokens_limit;
  std::optional<int64_t> max_prompt_tokens;
  int64_t max_choices = 16;
  int64_t max_stop_strings = 16;
  int64_t max_logit_bias = 1024;
  int64_t max_prompt_logprobs = int64_t{1} << 24;
  int64_t stream_buffer_tokens = 4096;

  // Shutdown.
  absl::Duration shutdown_delay = absl::Seconds(5);
  absl::Duration drain_timeout = absl::Seconds(60);

  // Metrics.
  int64_t metrics_port = 0;              // 0: none
  std::string metrics_aliases = "none";  // or "vllm"

  // Logging.
  std::string log_level = "info";
  std::string log_format = "text";  // or "json"
  bool log_requests = false;

  // Experiments (server/experiments.h).
  std::optional<int64_t> experiment_buffer_size;  // none: the checkpoint's
  std::string experiment_retention = "learned";
  int64_t experiment_seed = 1;
};

struct CommandLine {
  std::optional<Options> options;  // absent: print `text` and exit with `exit_code`
  std::string text;
  int exit_code = 0;  // 0: help, version or configuration was asked for; 1: wrong usage
};

CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace winnow

#endif  // WINNOW_SERVER_OPTIONS_H_
