// What winnow-evidence's command line says.
#ifndef WINNOW_CLIENT_EVAL_EVIDENCE_OPTIONS_H_
#define WINNOW_CLIENT_EVAL_EVIDENCE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/eval/evidence_variants.h"

namespace winnow::eval {

struct EvidenceOptions {
  std::string server_binary;
  std::vector<std::string> server_flags;  // for every variant
  std::string checkpoint_directory;       // empty: `checkpoints` are given one by one
  std::vector<Checkpoint> checkpoints;

  bool full = false;
  uint64_t seed = 1;

  std::string out = "evidence";  // a folder in it, quick or full, gets the files
  bool fresh = false;            // what was measured before does not count
  bool quiet = false;
};

struct EvidenceCommandLine {
  std::optional<EvidenceOptions> options;  // absent: print `text` and exit with `exit_code`
  std::string text;
  int exit_code = 0;
};

EvidenceCommandLine ParseEvidenceCommandLine(int argc, const char* const* argv);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVIDENCE_OPTIONS_H_
