// What winnow-eval's command line says.
#ifndef WINNOW_CLIENT_EVAL_EVAL_OPTIONS_H_
#define WINNOW_CLIENT_EVAL_EVAL_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/connection_flags.h"
#include "client/eval/cell_plan.h"

namespace winnow::eval {

// A server, and what it is called in reports.
struct Variant {
  std::string name, address;
};

struct EvalOptions {
  std::vector<PlannedCell> plan;  // what is asked, in order
  uint64_t seed = 1;
  bool time = false;  // one sequence alone, too

  std::vector<Variant> variants = {{"model", "127.0.0.1:50051"}};
  int concurrency = 16;  // requests in flight
  TlsFlags tls;
  std::string token_file;                 // empty: no token
  std::optional<absl::Duration> timeout;  // of one request

  std::string json, html, markdown;  // paths, "-" for standard output; empty: none
  bool quiet = false;
};

struct EvalCommandLine {
  std::optional<EvalOptions> options;  // absent: print `text` and exit with `exit_code`
  std::string text;
  int exit_code = 0;
};

EvalCommandLine ParseEvalCommandLine(int argc, const char* const* argv);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_OPTIONS_H_
