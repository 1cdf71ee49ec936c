// What winnow-load's command line says.
#ifndef WINNOW_CLIENT_LOAD_LOAD_OPTIONS_H_
#define WINNOW_CLIENT_LOAD_LOAD_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "client/connection_flags.h"
#include "client/load/arrivals.h"
#include "client/load/length_distribution.h"

namespace winnow::load {

// Requests in flight in a closed loop: whenever one ends, the next is sent.
struct Concurrency {
  int requests = 1;
};
using LoadLevel = std::variant<RateRange, Concurrency>;
// "rate 4", "rate 1..8", "concurrency 16"
std::string ToString(const LoadLevel& level);

// Limits in milliseconds that a good request keeps; absent: any.
struct Slos {
  std::optional<double> ttft_ms = {}, tpot_ms = {}, e2el_ms = {};
  bool empty() const { return !ttft_ms && !tpot_ms && !e2el_ms; }
};

struct LoadOptions {
  std::vector<std::string> servers = {"127.0.0.1:50051"};
  TlsFlags tls;
  std::string token_file;  // empty: no token
  std::string model;       // empty: whatever is served
  int channels = 1;        // connections to each server
  bool retry_policy = false;
  std::optional<absl::Duration> timeout;  // of one request

  std::vector<LoadLevel> levels;  // one stage each, one after the other
  ArrivalProcess arrivals;
  // Of each stage; one of the two.
  std::optional<int64_t> num_requests;
  std::optional<absl::Duration> duration;
  int64_t warmup_requests = 0;  // of each stage, sent before those that count

  LengthDistribution prompt_tokens{128}, output_tokens{128};
  std::string requests_file;  // JSONL; empty: prompts of random tokens
  bool stop_at_eos = false;
  bool skip_text = false;
  std::optional<float> temperature;  // absent: the server's default
  double cancel_share = 0, slow_share = 0;
  absl::Duration slow_delay = absl::Milliseconds(100);  // before each read of a slow reader
  uint64_t seed = 1;

  Slos slos;
  bool find_max_rate = false;
  double slo_share = 0.99;  // of the requests that must be good for a rate to be met

  std::string json, html;  // paths, "-" for standard output; empty: none
  bool quiet = false;
};

struct LoadCommandLine {
  std::optional<LoadOptions> options;  // absent: print `text` and exit with `exit_code`
  std::string text;
  int exit_code = 0;
};

LoadCommandLine ParseLoadCommandLine(int argc, const char* const* argv);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LOAD_OPTIONS_H_
