// Evidence: every variant served by a server of its own, asked, timed, and reported.
#ifndef WINNOW_CLIENT_EVAL_EVIDENCE_RUN_H_
#define WINNOW_CLIENT_EVAL_EVIDENCE_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/eval/evidence_plan.h"
#include "client/eval/evidence_variants.h"
#include "client/eval/results.h"
#include "client/load/stopper.h"

namespace winnow::eval {

struct EvidenceSettings {
  std::string server_binary;
  std::vector<std::string> server_flags;  // for every variant
  uint64_t seed = 1;
  std::string directory;  // gets the files; made if there is none
  bool fresh = false;     // what was measured before does not count
  bool quiet = false;     // nothing goes to standard error
};

// Blocks until all variants are measured, or soon after the stopper says so: then the result has
// those that were finished, and may have none. A variant that was answered in full before, by the
// same plan and seed and after its checkpoint was written, is taken from its file.
//
// Writes variants/NAME.json once each is finished, and at the end results.json, table.md and
// report.html. Errors: a server that does not start, with the end of its log; a file that cannot be
// written.
absl::StatusOr<EvalResult> RunEvidence(const EvidenceSettings& settings, const EvidencePlan& plan,
                                       const std::vector<ServedVariant>& variants,
                                       load::Stopper* stopper);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVIDENCE_RUN_H_
