#include "client/eval/evidence_run.h"

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/child_server.h"
#include "client/connect.h"
#include "client/eval/eval_options.h"
#include "client/eval/eval_reports.h"
#include "client/eval/eval_run.h"
#include "client/eval/result_json.h"
#include "client/load/report_file.h"

namespace winnow::eval {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartTimeout = absl::Minutes(5);

fs::path FileOf(const EvidenceSettings& settings, const ServedVariant& variant) {
  return fs::path(settings.directory) / "variants" / absl::StrCat(variant.name, ".json");
}

// Whether a file was written after everything in a checkpoint.
bool IsNewer(const fs::path& file, const std::string& checkpoint) {
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  if (error) return false;
  for (const auto& entry : fs::directory_iterator(checkpoint, error)) {
    if (fs::last_write_time(entry.path(), error) >= written) return false;
  }
  return !error;
}

bool Answers(const EvalResult& result, const std::vector<PlannedCell>& plan) {
  const auto same = [&](const Cell& cell, const PlannedCell& planned) {
    return cell == planned.cell;
  };
  if (result.variants.size() != 1 || !result.variants[0].times.has_value()) return false;
  if (!std::equal(result.cells.begin(), result.cells.end(), plan.begin(), plan.end(), same)) {
    return false;
  }
  for (size_t i = 0; i < plan.size(); ++i) {
    if (result.variants[0].cells[i].texts != plan[i].texts) return false;
  }
  return true;
}

// What was measured before, if it still counts.
std::optional<EvalResult> Earlier(const EvidenceSettings& settings, const ServedVariant& variant,
                                  const std::vector<PlannedCell>& plan) {
  const fs::path file = FileOf(settings, variant);
  if (settings.fresh || !IsNewer(file, variant.directory)) return std::nullopt;
  const auto text = ReadFile(file.string());
  if (!text.ok()) return std::nullopt;
  auto result = ResultFromJsonText(*text);
  if (!result.ok() || result->seed != settings.seed || !Answers(*result, plan)) {
    return std::nullopt;
  }
  return *std::move(result);
}

std::vector<std::string> FlagsOf(const EvidenceSettings& settings, const ServedVariant& variant) {
  std::vector<std::string> flags = {absl::StrCat("--model=", variant.directory)};
  flags.insert(flags.end(), variant.flags.begin(), variant.flags.end());
  flags.insert(flags.end(), settings.server_flags.begin(), settings.server_flags.end());
  return flags;
}

absl::Status About(const ServedVariant& variant, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(variant.name, ": ", status.message()));
}

absl::StatusOr<EvalResult> Measure(const EvidenceSettings& settings, const ServedVariant& variant,
                                   const std::vector<PlannedCell>& plan, load::Stopper* stopper) {
  std::vector<std::string> flags = FlagsOf(settings, variant);
  flags.push_back("--shutdown_delay=0s");
  auto server = ChildServer::Start(settings.server_binary, flags, kStartTimeout);
  if (!server.ok()) return About(variant, server.status());
  EvalOptions options;
  options.plan = plan;
  options.seed = settings.seed;
  options.time = true;
  options.variants = {{variant.name, (*server)->address()}};
  options.quiet = settings.quiet;
  auto result = RunEval(options, stopper);
  if (!result.ok()) return result.status();
  (*server)->Signal(SIGTERM);
  const int code = (*server)->WaitForExit();
  if (code == 0 || result->variants[0].stopped) return result;
  return About(variant, absl::InternalError(absl::StrCat("the server ended with exit code ", code,
                                                         "; its log:\n", (*server)->LogTail())));
}

// Kept in the variant's file unless it was stopped.
absl::StatusOr<EvalResult> MeasureAndKeep(const EvidenceSettings& settings,
                                          const ServedVariant& variant,
                                          const std::vector<PlannedCell>& plan,
                                          load::Stopper* stopper) {
  auto result = Measure(settings, variant, plan, stopper);
  if (!result.ok() || result->variants[0].stopped) return result;
  const absl::Status written =
      load::WriteReport(FileOf(settings, variant).string(), ResultToJsonText(*result));
  if (!written.ok()) return written;
  return result;
}

// What was measured before, or is now. `place`: "3 of 8".
absl::StatusOr<EvalResult> ResultOf(const EvidenceSettings& settings, const ServedVariant& variant,
                                    const EvidencePlan& plan, const std::string& place,
                                    load::Stopper* stopper) {
  const auto& cells = variant.ablation ? plan.ablation : plan.whole;
  auto earlier = Earlier(settings, variant, cells);
  if (!settings.quiet) {
    absl::FPrintF(stderr, "%s: %s%s\n", place, variant.name,
                  earlier.has_value() ? ", measured before" : "");
  }
  if (earlier.has_value()) return *std::move(earlier);
  return MeasureAndKeep(settings, variant, cells, stopper);
}

// `result` has the first of the variants.
std::string Preface(const EvidenceSettings& settings, const EvalResult& result,
                    const std::vector<ServedVariant>& variants) {
  int64_t tokens = 0;
  std::string served;
  for (size_t i = 0; i < result.variants.size(); ++i) {
    tokens += result.variants[i].prompt_tokens;
    absl::StrAppend(&served, "- ", variants[i].name, ": `winnow-server ",
                    absl::StrJoin(FlagsOf(settings, variants[i]), " "), "`\n");
  }
  return absl::StrCat("Asked with prompts of ", tokens, " tokens in all, on ",
                      std::thread::hardware_concurrency(), " cores. Served with:\n\n", served,
                      "\n");
}

absl::Status WriteReports(const EvidenceSettings& settings, const EvalResult& result,
                          const std::vector<ServedVariant>& variants) {
  const auto path = [&](const char* name) {
    return (fs::path(settings.directory) / name).string();
  };
  absl::Status status = load::WriteReport(path("results.json"), ResultToJsonText(result));
  status.Update(load::WriteReport(path("table.md"),
                                  Preface(settings, result, variants) + ResultToMarkdown(result)));
  status.Update(load::WriteReport(path("report.html"), ResultToHtml(result)));
  return status;
}

}  // namespace

absl::StatusOr<EvalResult> RunEvidence(const EvidenceSettings& settings, const EvidencePlan& plan,
                                       const std::vector<ServedVariant>& variants,
                                       load::Stopper* stopper) {
  std::error_code error;
  fs::create_directories(fs::path(settings.directory) / "variants", error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(settings.directory, ": ", error.message()));
  }
  std::vector<EvalResult> results;
  for (size_t i = 0; i < variants.size(); ++i) {
    const std::string place = absl::StrCat(i + 1, " of ", variants.size());
    auto result = ResultOf(settings, variants[i], plan, place, stopper);
    if (!result.ok()) return result.status();
    if (result->variants[0].stopped) break;
    results.push_back(*std::move(result));
  }
  if (results.empty()) return EvalResult();
  EvalResult merged = Merge(std::move(results));
  const absl::Status written = WriteReports(settings, merged, variants);
  if (!written.ok()) return written;
  return merged;
}

}  // namespace winnow::eval
