// winnow-evidence: serves checkpoints one after the other and measures what they remember. See
// --help.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/eval/eval_reports.h"
#include "client/eval/evidence_options.h"
#include "client/eval/evidence_plan.h"
#include "client/eval/evidence_run.h"
#include "client/eval/evidence_variants.h"
#include "client/exit_codes.h"
#include "client/load/stopper.h"

namespace winnow::eval {
namespace {

int Failed(const absl::Status& status) {
  std::cerr << "winnow-evidence: " << status.message() << std::endl;
  return ExitCodeFor(status.code());
}

absl::StatusOr<std::vector<ServedVariant>> Variants(const EvidenceOptions& options) {
  if (options.checkpoint_directory.empty()) return VariantsOf(options.checkpoints);
  const auto found = FindCheckpoints(options.checkpoint_directory);
  if (!found.ok()) return found.status();
  return VariantsOf(*found);
}

EvidencePlan PlanFor(const EvidenceOptions& options, const std::vector<ServedVariant>& variants) {
  size_t num_ablations = 0;
  for (const ServedVariant& variant : variants) num_ablations += variant.ablation ? 1 : 0;
  return PlanEvidence(options.full, variants.size() - num_ablations, num_ablations);
}

int ExitCodeOf(const EvalResult& result, size_t num_variants) {
  if (result.variants.size() < num_variants) return kExitStopped;
  for (const VariantResult& variant : result.variants) {
    if (!variant.errors.empty()) return kExitOther;
  }
  return kExitOk;
}

int Run(const EvidenceOptions& options) {
  const auto variants = Variants(options);
  if (!variants.ok()) return Failed(variants.status());
  load::Stopper* const stopper = load::StopperOfSignals();
  const EvidenceSettings settings = {
      .server_binary = options.server_binary,
      .server_flags = options.server_flags,
      .seed = options.seed,
      .directory =
          (std::filesystem::path(options.out) / (options.full ? "full" : "quick")).string(),
      .fresh = options.fresh,
      .quiet = options.quiet};
  const auto result = RunEvidence(settings, PlanFor(options, *variants), *variants, stopper);
  if (!result.ok()) return Failed(result.status());
  if (!options.quiet && !result->variants.empty()) {
    std::cout << ResultToText(*result) << "\nWritten to " << settings.directory
              << ": table.md, results.json, report.html\n";
  }
  return ExitCodeOf(*result, variants->size());
}

}  // namespace
}  // namespace winnow::eval

int main(int argc, char** argv) {
  const winnow::eval::EvidenceCommandLine line = winnow::eval::ParseEvidenceCommandLine(argc, argv);
  if (!line.options.has_value()) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return winnow::eval::Run(*line.options);
}
