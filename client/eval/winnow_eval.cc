// winnow-eval: asks servers for facts hidden in texts and reports how many answers are right. See
// --help.
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "client/eval/eval_options.h"
#include "client/eval/eval_reports.h"
#include "client/eval/eval_run.h"
#include "client/eval/result_json.h"
#include "client/exit_codes.h"
#include "client/load/report_file.h"
#include "client/load/stopper.h"

namespace winnow::eval {
namespace {

int Failed(const absl::Status& status, int exit_code) {
  std::cerr << "winnow-eval: " << status.message() << std::endl;
  return exit_code;
}

absl::Status WriteReports(const EvalOptions& options, const EvalResult& result) {
  // The table would get into the way of another report on standard output.
  const bool piped = options.json == "-" || options.markdown == "-" || options.html == "-";
  if (!options.quiet) (piped ? std::cerr : std::cout) << ResultToText(result);
  absl::Status status;
  if (!options.json.empty()) {
    status.Update(load::WriteReport(options.json, ResultToJsonText(result)));
  }
  if (!options.markdown.empty()) {
    status.Update(load::WriteReport(options.markdown, ResultToMarkdown(result)));
  }
  if (!options.html.empty()) {
    status.Update(load::WriteReport(options.html, ResultToHtml(result)));
  }
  return status;
}

int ExitCodeOf(const EvalResult& result) {
  int code = kExitOk;
  for (const VariantResult& variant : result.variants) {
    if (variant.stopped) return kExitStopped;
    if (!variant.errors.empty()) code = kExitOther;
  }
  return code;
}

int Run(const EvalOptions& options) {
  load::Stopper* const stopper = load::StopperOfSignals();
  const auto result = RunEval(options, stopper);
  if (!result.ok()) return Failed(result.status(), ExitCodeFor(result.status().code()));
  const absl::Status written = WriteReports(options, *result);
  return written.ok() ? ExitCodeOf(*result) : Failed(written, kExitUsage);
}

}  // namespace
}  // namespace winnow::eval

int main(int argc, char** argv) {
  const winnow::eval::EvalCommandLine line = winnow::eval::ParseEvalCommandLine(argc, argv);
  if (!line.options.has_value()) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return winnow::eval::Run(*line.options);
}
