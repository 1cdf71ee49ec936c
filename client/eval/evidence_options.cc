#include "client/eval/evidence_options.h"

#include <cstddef>
#include <set>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/exit_codes.h"

namespace winnow::eval {
namespace {

constexpr char kDescription[] =
    "Serves checkpoints on the CPU, one after the other, asks each for facts hidden in texts, and\n"
    "writes how many answers are right, what a sequence's state takes and how long a token takes:\n"
    "table.md, results.json and report.html (docs/evidence.md). A checkpoint with learned "
    "eviction\n"
    "is also served with other buffers, with its window alone, and keeping the newest tokens or\n"
    "random ones instead.\n";

constexpr char kExitCodes[] =
    "What a run has measured is kept: the same command goes on where it was stopped, and asks a\n"
    "variant again only if its checkpoint or the questions have changed.\n\n"
    "Exit codes: 0 all questions were answered, rightly or not; 1 wrong usage; 2 a server is not\n"
    "reachable; 3 a server refuses; 4 stopped by Ctrl-C, variants measured until then are\n"
    "reported; 5 some questions were not answered, or any other error.";

struct Flags {
  bool quick = false;
  std::vector<std::string> checkpoints;
};

void AddMeasuringFlags(CLI::App& app, Flags* flags, EvidenceOptions* options) {
  constexpr char kGroup[] = "What is measured";
  CLI::Option* quick = app.add_flag("--quick", flags->quick,
                                    "At most 4 million tokens of prompts, which take\nminutes "
                                    "(default)");
  quick->group(kGroup);
  app.add_flag("--full", options->full, "200 texts for each figure, and more lengths; takes\nhours")
      ->excludes(quick)
      ->group(kGroup);
  app.add_option("--checkpoints", options->checkpoint_directory,
                 "Every folder in it that has a config.json; lte, if\nthere is one, is what the "
                 "others are compared with")
      ->group(kGroup)
      ->type_name("DIR");
  app.add_option("--checkpoint", flags->checkpoints, "Single ones instead")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(kGroup)
      ->type_name("NAME=DIR,...");
  app.add_option("--seed", options->seed, "The same seed asks the same")
      ->group(kGroup)
      ->capture_default_str();
}

void AddServerFlags(CLI::App& app, EvidenceOptions* options) {
  constexpr char kGroup[] = "Server";
  app.add_option("--server", options->server_binary, "winnow-server to start")
      ->required()
      ->group(kGroup)
      ->type_name("PATH");
  app.add_option("--server_flag", options->server_flags,
                 "A further flag for it, like\n--server_flag=--threads=1; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup)
      ->type_name("FLAG");
}

void AddOutputFlags(CLI::App& app, EvidenceOptions* options) {
  constexpr char kGroup[] = "Output";
  app.add_option("--out", options->out, "Files come into its folder quick or full")
      ->group(kGroup)
      ->type_name("DIR")
      ->capture_default_str();
  app.add_flag("--fresh", options->fresh, "Measure again what was measured before")->group(kGroup);
  app.add_flag("--quiet", options->quiet, "No progress and no table")->group(kGroup);
}

[[noreturn]] void Refuse(absl::string_view flag, absl::string_view value, absl::string_view why) {
  throw CLI::ValidationError(absl::StrCat(flag, "=", value, ": ", why));
}

// Names become names of files.
bool FitsAsName(absl::string_view name) {
  return !name.empty() && name[0] != '.' && name.find('/') == name.npos;
}

// What involves several flags, or a value's form.
void Finish(const Flags& flags, EvidenceOptions* options) {
  std::set<std::string> names;
  for (const std::string& checkpoint : flags.checkpoints) {
    const size_t equals = checkpoint.find('=');
    if (equals == checkpoint.npos || equals + 1 == checkpoint.size() ||
        !FitsAsName(checkpoint.substr(0, equals))) {
      Refuse("--checkpoint", checkpoint, "write NAME=DIR, with a name that fits a file");
    }
    if (!names.insert(checkpoint.substr(0, equals)).second) {
      Refuse("--checkpoint", checkpoint, "the name is given twice");
    }
    options->checkpoints.push_back({checkpoint.substr(0, equals), checkpoint.substr(equals + 1)});
  }
  if (options->checkpoints.empty() == options->checkpoint_directory.empty()) {
    throw CLI::ValidationError("give either --checkpoints or --checkpoint");
  }
}

}  // namespace

EvidenceCommandLine ParseEvidenceCommandLine(int argc, const char* const* argv) {
  Flags flags;
  EvidenceOptions options;
  CLI::App app(kDescription, "winnow-evidence");
  app.footer(absl::StrCat("\n", kExitCodes));
  app.get_formatter()->column_width(34);
  AddMeasuringFlags(app, &flags, &options);
  AddServerFlags(app, &options);
  AddOutputFlags(app, &options);

  EvidenceCommandLine line;
  try {
    app.parse(argc, argv);
    Finish(flags, &options);
    line.options = std::move(options);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::ParseError& error) {
    line.text =
        absl::StrCat("winnow-evidence: ", error.what(), "\nRun with --help for all flags.\n");
    line.exit_code = kExitUsage;
  }
  return line;
}

}  // namespace winnow::eval
