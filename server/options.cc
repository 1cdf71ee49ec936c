#include "server/options.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/config_file.h"
#include "server/flag_set.h"
#include "server/option_flags.h"
#include "server/version.h"

namespace winnow {
namespace {

// Cores that this process may use.
int64_t UsableCores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
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

// CLI11 carries errors as exceptions.
void SetOrThrow(const Flag& flag, const std::string& text) {
  const absl::Status status = flag.set(text);
  if (!status.ok()) throw CLI::ValidationError(std::string(status.message()));
}

CLI::Option* AddToApp(const Flag& flag, CLI::App* app) {
  const std::string name = absl::StrCat("--", flag.name);
  const std::string help = Wrapped(flag.help);
  if (flag.kind == FlagKind::kSwitch) {
    // --flag=false turns off what a file turns on.
    const auto set = [flag](int64_t count) { SetOrThrow(flag, count > 0 ? "true" : "false"); };
    return app->add_flag_function(name, set, help);
  }
  const auto set = [flag](const std::string& text) { SetOrThrow(flag, text); };
  CLI::Option* option = app->add_option_function<std::string>(name, set, help);
  option->type_name(flag.type_name)->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  if (!flag.default_text.empty()) option->default_str(flag.default_text);
  return option;
}

// The last component of the directory, however it is written: "a/b/", "." and "a/.." included.
std::string BaseName(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::weakly_canonical(directory, error);
  if (error) path = std::filesystem::path(directory).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().empty() ? "model" : path.filename().string();
}

absl::Status CheckTlsFlags(const Options& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return options.tls_key.empty() ? BadFlag("tls_cert", options.tls_cert, "needs --tls_key too")
                                   : BadFlag("tls_key", options.tls_key, "needs --tls_cert too");
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    return BadFlag("tls_client_ca", options.tls_client_ca, "needs --tls_cert and --tls_key too");
  }
  return absl::OkStatus();
}

absl::Status CheckStateFlags(const Options& options) {
  const bool has_ring = options.state_ring > 1, has_bf16 = options.state_dtype != "f32";
  const std::string ring = absl::StrCat(options.state_ring);
  if (options.backend != "cuda") {
    if (has_ring) return BadFlag("state_ring", ring, "needs --backend=cuda");
    if (has_bf16) return BadFlag("state_dtype", options.state_dtype, "needs --backend=cuda");
  }
  if (has_ring && has_bf16) {
    return BadFlag("state_ring", ring,
                   absl::StrCat("needs --state_dtype=f32, not ", options.state_dtype));
  }
  return absl::OkStatus();
}

absl::Status CheckExperimentFlags(const Options& options) {
  if (options.experiment_retention != "learned" && options.backend != "cpu") {
    return BadFlag("experiment_retention", options.experiment_retention, "needs --backend=cpu");
  }
  return absl::OkStatus();
}

// What involves several flags.
absl::Status Finish(Options* options) {
  if (options->model.empty()) {
    return absl::InvalidArgumentError("--model=DIR (the checkpoint directory) is required");
  }
  if (options->model_name.empty()) options->model_name = BaseName(options->model);
  if (options->max_tokens_limit.has_value() &&
      *options->max_tokens_limit < options->default_max_tokens) {
    return BadFlag(
        "max_tokens_limit", absl::StrCat(*options->max_tokens_limit),
        absl::StrCat("must not be below --default_max_tokens=", options->default_max_tokens));
  }
  absl::Status status = CheckTlsFlags(*options);
  status.Update(CheckStateFlags(*options));
  status.Update(CheckExperimentFlags(*options));
  return status;
}

// The options, their flags, and what is only on the command line.
struct Program {
  Program();

  // Throws CLI11's exceptions.
  void Parse(int argc, const char* const* argv) { app.parse(argc, argv); }

  Options options;
  FlagSet flags;
  CLI::App app;
  std::string config;
  bool print_config = false;
};

Program::Program()
    : app("Serves a hybrid linear-attention language model over gRPC.\n", "winnow-server") {
  options.threads = UsableCores();
  AddOptionFlags(&options, &flags);
  app.footer(
      "\nSizes: 64MiB, 4GiB. Times: 250ms, 5s, 1m30s.\n"
      "Exit codes: 0 after a signal, 1 wrong usage or a model that cannot be loaded, 3 the compute "
      "device failed.");
  app.get_formatter()->column_width(kHelpColumn);
  app.set_version_flag("--version", absl::StrCat("winnow-server ", kVersion));
  app.add_option("--config", config,
                 Wrapped("YAML or JSON file with flags, like 'threads: 4'; those given on the "
                         "command line win. Paths are as on the command line"))
      ->type_name("FILE");
  app.add_flag("--print_config", print_config,
               Wrapped("Prints all flags' values as a file for --config, and exits"));
  for (const Flag& flag : flags.flags()) AddToApp(flag, &app)->group(flag.group);
}

// What the command line says, with the file that it names beneath it.
absl::Status ParseWithFile(int argc, const char* const* argv, Program* program) {
  Program first;
  first.Parse(argc, argv);
  if (!first.config.empty()) {
    const absl::Status status = SetFlagsFromFile(first.config, program->flags);
    if (!status.ok()) return status;
  }
  program->Parse(argc, argv);
  return Finish(&program->options);
}

CommandLine Ended(int exit_code, std::string text) {
  return {.options = std::nullopt, .text = std::move(text), .exit_code = exit_code};
}

CommandLine WrongUsage(absl::string_view why) {
  return Ended(1, absl::StrCat("winnow-server: ", why, "\nRun with --help for all flags.\n"));
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  Program program;
  try {
    const absl::Status status = ParseWithFile(argc, argv, &program);
    if (!status.ok()) return WrongUsage(status.message());
  } catch (const CLI::CallForHelp&) {
    return Ended(0, program.app.help());
  } catch (const CLI::CallForVersion& version) {
    return Ended(0, absl::StrCat(version.what(), "\n"));
  } catch (const CLI::ParseError& error) {
    return WrongUsage(error.what());
  }
  if (program.print_config) return Ended(0, FormatConfig(program.flags));
  CommandLine line;
  line.options = std::move(program.options);
  return line;
}

}  // namespace winnow
