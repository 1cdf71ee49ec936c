// winnow-load: sends load to servers and reports what they make of it. See --help.
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/connect.h"
#include "client/exit_codes.h"
#include "client/load/load_options.h"
#include "client/load/load_run.h"
#include "client/load/load_target.h"
#include "client/load/measured_stage.h"
#include "client/load/report_file.h"
#include "client/load/report_html.h"
#include "client/load/report_json.h"
#include "client/load/report_text.h"
#include "client/load/requests_file.h"
#include "client/load/stopper.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

// What the command line or a file that it names says wrong.
int WrongUsage(const absl::Status& status) {
  std::cerr << "winnow-load: " << status.message() << std::endl;
  return kExitUsage;
}

int ServerSays(const absl::Status& status) {
  std::cerr << "winnow-load: " << status.ToString() << std::endl;
  return ExitCodeFor(status.code());
}

absl::StatusOr<std::vector<FileRequest>> ReadRequests(const std::string& path) {
  if (path.empty()) return std::vector<FileRequest>();
  const auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  auto requests = ParseRequests(*text);
  if (requests.ok()) return requests;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", requests.status().message()));
}

absl::Status WriteReports(const LoadOptions& options, const MeasuredRun& run) {
  // The table would get into the way of JSON on standard output.
  if (!options.quiet) (options.json == "-" ? std::cerr : std::cout) << RunToText(options, run);
  if (!options.json.empty()) {
    const std::string json =
        RunToJson(options, run)
            .dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
    absl::Status status = WriteReport(options.json, json + "\n");
    if (!status.ok()) return status;
  }
  return options.html.empty() ? absl::OkStatus()
                              : WriteReport(options.html, RunToHtml(options, run));
}

int ExitCodeOf(const MeasuredRun& run) {
  int64_t answered = 0;
  for (const MeasuredStage& stage : run.stages) {
    if (stage.summary.stopped) return kExitStopped;
    answered += stage.summary.completed + stage.summary.cancelled;
  }
  return answered > 0 ? kExitOk : kExitOther;
}

int Run(const LoadOptions& options) {
  auto requests = ReadRequests(options.requests_file);
  if (!requests.ok()) return WrongUsage(requests.status());
  Stopper* const stopper = StopperOfSignals();
  auto target = LoadTarget::Create(options);
  if (!target.ok()) return WrongUsage(target.status());
  const auto info = (*target)->GetModelInfo(options.model);
  if (!info.ok()) return ServerSays(info.status());
  const MeasuredRun run = RunLoad(options, *std::move(requests), *info, target->get(), stopper);
  const absl::Status written = WriteReports(options, run);
  return written.ok() ? ExitCodeOf(run) : WrongUsage(written);
}

}  // namespace
}  // namespace winnow::load

int main(int argc, char** argv) {
  const winnow::load::LoadCommandLine line = winnow::load::ParseLoadCommandLine(argc, argv);
  if (!line.options.has_value()) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return winnow::load::Run(*line.options);
}
