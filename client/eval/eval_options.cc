#include "client/eval/eval_options.h"

#include <optional>
#include <set>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/exit_codes.h"

namespace winnow::eval {
namespace {

constexpr int64_t kMaxTokens = 10'000'000;
constexpr int kMaxFacts = 1000;
constexpr int64_t kMaxTexts = 10'000;  // they are held in memory

constexpr char kExamples[] =
    "Examples:\n"
    "  winnow-eval --lengths=512,2048,8192 --texts=50 --html=report.html\n"
    "  winnow-eval --tasks=multi_key --facts=8,16,32,64 --many_lengths=2048,4096\n"
    "  winnow-eval --server=lte=127.0.0.1:50051,window=127.0.0.1:50052 --json=evidence.json\n";

constexpr char kExitCodes[] =
    "Exit codes: 0 all questions were answered, rightly or not; 1 wrong usage; 2 server not\n"
    "reachable; 3 the server refuses; 4 stopped by Ctrl-C, what was measured until then is\n"
    "reported; 5 some questions were not answered, or any other error.";

// Values that take more than CLI11's conversion.
struct Flags {
  std::vector<std::string> tasks, servers;
  CellLists lists;
  int64_t texts = 20;
  std::string timeout;
};

template <typename T>
CLI::Option* AddList(CLI::App& app, const std::string& flag, std::vector<T>* values,
                     const char* type, const std::string& help) {
  return app.add_option(flag, *values, help)
      ->type_name(type)
      ->delimiter(',')
      ->allow_extra_args(false);
}

void AddQuestionFlags(CLI::App& app, Flags* flags, EvalOptions* options) {
  constexpr char kGroup[] = "What is asked";
  AddList(app, "--tasks", &flags->tasks, "NAME,...",
          "single, multi_key, multi_query, multi_value,\ndistractors; default: all")
      ->group(kGroup);
  AddList(app, "--lengths", &flags->lists.lengths, "N,...",
          "Tokens of prompts with a single fact; default: 512,\n1024,2048,4096")
      ->group(kGroup);
  AddList(app, "--depths", &flags->lists.depths, "PERCENT,...",
          "Where it stands; default: 0,25,50,75,100")
      ->group(kGroup);
  AddList(app, "--many_lengths", &flags->lists.many_lengths, "N,...",
          "Tokens of the other tasks' prompts; default: 2048")
      ->group(kGroup);
  AddList(app, "--facts", &flags->lists.facts, "N,...", "Of multi_key; default: 8,16,32,64")
      ->group(kGroup);
  app.add_option("--texts", flags->texts,
                 "For each task, length and number of facts; single\nfacts share them among the "
                 "depths")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--seed", options->seed, "The same seed asks the same")
      ->group(kGroup)
      ->capture_default_str();
  app.add_flag("--time", options->time,
               "Also time one sequence alone, at the longest prompt,\nonce the questions are "
               "answered")
      ->group(kGroup);
}

void AddServerFlags(CLI::App& app, Flags* flags, EvalOptions* options) {
  constexpr char kGroup[] = "Servers";
  AddList(app, "--server", &flags->servers, "NAME=HOST:PORT,...",
          "Variants of a model, asked the same one after the\nother, and compared with the first; "
          "default:\n127.0.0.1:50051")
      ->group(kGroup);
  app.add_option("--concurrency", options->concurrency, "Requests in flight, 1 to 100000")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--timeout", flags->timeout, "Of one request, like 30s")
      ->group(kGroup)
      ->type_name("TIME");
  AddSecurityFlags(app, &options->tls, &options->token_file);
}

void AddOutputFlags(CLI::App& app, EvalOptions* options) {
  constexpr char kGroup[] = "Output";
  app.add_option("--json", options->json, "Write all figures and answers; '-': to standard output")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_option("--html", options->html, "Write a report with heat maps and curves")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_option("--markdown", options->markdown, "Write all tables; '-': to standard output")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_flag("--quiet", options->quiet, "No progress and no table")->group(kGroup);
}

[[noreturn]] void Refuse(absl::string_view flag, absl::string_view value, absl::string_view why) {
  throw CLI::ValidationError(absl::StrCat(flag, "=", value, ": ", why));
}

template <typename T>
void CheckNumbers(absl::string_view flag, const std::vector<T>& values, T min, T max) {
  std::set<T> seen;
  for (const T value : values) {
    if (value < min || value > max) {
      Refuse(flag, absl::StrCat(value), absl::StrCat("write a number from ", min, " to ", max));
    }
    if (!seen.insert(value).second) Refuse(flag, absl::StrCat(value), "is given twice");
  }
}

void ChooseTasks(const std::vector<std::string>& names, CellLists* lists) {
  std::set<Task> asked;
  for (const std::string& name : names) {
    const std::optional<Task> task = FindTask(name);
    if (!task.has_value()) {
      Refuse("--tasks", name,
             "write one of single, multi_key, multi_query, multi_value and distractors");
    }
    asked.insert(*task);
  }
  if (!asked.empty()) lists->tasks.assign(asked.begin(), asked.end());
}

void CheckLists(const CellLists& lists, int64_t texts) {
  CheckNumbers<int64_t>("--lengths", lists.lengths, 1, kMaxTokens);
  CheckNumbers<int64_t>("--many_lengths", lists.many_lengths, 1, kMaxTokens);
  CheckNumbers("--depths", lists.depths, 0, 100);
  CheckNumbers("--facts", lists.facts, 1, kMaxFacts);
  CheckNumbers<int64_t>("--texts", {texts}, 1, kMaxTexts);
  const auto num_depths = static_cast<int64_t>(lists.depths.size());
  if (lists.tasks[0] == Task::kSingle && texts < num_depths) {
    Refuse("--texts", absl::StrCat(texts),
           absl::StrCat("single facts need one for each of the ", num_depths, " depths"));
  }
}

void ChooseCells(Flags* flags, EvalOptions* options) {
  ChooseTasks(flags->tasks, &flags->lists);
  CheckLists(flags->lists, flags->texts);
  options->plan = PlanCells(flags->lists, flags->texts);
  for (const auto& [cell, texts] : options->plan) {
    if (cell.tokens >= LeastTokens(cell)) continue;
    Refuse(cell.task == Task::kSingle ? "--lengths" : "--many_lengths", absl::StrCat(cell.tokens),
           absl::StrCat(Describe(cell), ": needs at least ", LeastTokens(cell), " tokens"));
  }
}

void ChooseVariants(const Flags& flags, EvalOptions* options) {
  if (!flags.servers.empty()) options->variants.clear();
  std::set<std::string> names;
  for (const std::string& server : flags.servers) {
    const size_t equals = server.find('=');
    const Variant variant = equals == server.npos
                                ? Variant{server, server}
                                : Variant{server.substr(0, equals), server.substr(equals + 1)};
    if (variant.name.empty() || variant.address.empty()) {
      Refuse("--server", server, "write NAME=HOST:PORT");
    }
    if (!names.insert(variant.name).second) Refuse("--server", server, "the name is given twice");
    options->variants.push_back(variant);
  }
}

void CheckOutputs(const EvalOptions& options) {
  int to_stdout = 0;
  for (const auto* path : {&options.json, &options.html, &options.markdown}) {
    to_stdout += *path == "-" ? 1 : 0;
  }
  if (to_stdout > 1) {
    throw CLI::ValidationError("only one of --json, --html and --markdown can be '-'");
  }
}

// What involves several flags, or a value's form.
void Finish(Flags flags, EvalOptions* options) {
  ChooseCells(&flags, options);
  ChooseVariants(flags, options);
  CheckOutputs(*options);
  CheckNumbers("--concurrency", std::vector<int>{options->concurrency}, 1, 100'000);
  if (flags.timeout.empty()) return;
  absl::Duration timeout;
  if (!absl::ParseDuration(flags.timeout, &timeout) || timeout <= absl::ZeroDuration()) {
    Refuse("--timeout", flags.timeout, "write a duration above 0, like 30s");
  }
  options->timeout = timeout;
}

}  // namespace

EvalCommandLine ParseEvalCommandLine(int argc, const char* const* argv) {
  Flags flags;
  EvalOptions options;
  CLI::App app(
      "Hides facts in texts of the demo model's world, asks Winnow servers for them, and reports\n"
      "how many answers are right.\n",
      "winnow-eval");
  app.footer(absl::StrCat("\n", kExamples, "\n", kExitCodes));
  app.get_formatter()->column_width(34);
  AddQuestionFlags(app, &flags, &options);
  AddOutputFlags(app, &options);
  AddServerFlags(app, &flags, &options);

  EvalCommandLine line;
  try {
    app.parse(argc, argv);
    Finish(flags, &options);
    line.options = std::move(options);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::ParseError& error) {
    line.text = absl::StrCat("winnow-eval: ", error.what(), "\nRun with --help for all flags.\n");
    line.exit_code = kExitUsage;
  }
  return line;
}

}  // namespace winnow::eval
