#include "client/load/load_options.h"

#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/exit_codes.h"
#include "client/load/level_flags.h"

namespace winnow::load {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  winnow-load --concurrency=256 --num_requests=1024 --prompt_tokens=512 --output_tokens=256\n"
    "  winnow-load --rate=1,2,4,8 --duration=60s --slo=ttft:200,tpot:40 --html=sweep.html\n"
    "  winnow-load --rate=1..20 --duration=5m --output_tokens=lognormal:200,100\n"
    "  winnow-load --find_max_rate --rate=2 --duration=30s --slo=ttft:500\n";

constexpr char kExitCodes[] =
    "Exit codes: 0 load was sent and some of it was answered, reports are written; 1 wrong usage;\n"
    "2 server not reachable; 3 the server refuses; 4 stopped by Ctrl-C, what was measured until\n"
    "then is reported; 5 no request was answered, or any other error.";

// Values that take more than CLI11's conversion.
struct Flags {
  std::vector<std::string> rates, slos;
  std::vector<int> concurrencies;
  std::string arrivals = "poisson", duration, timeout, slow_delay = "100ms";
  std::string prompt_tokens = "128", output_tokens = "128";
  double burstiness = 1;
};

void AddLoadFlags(CLI::App& app, Flags* flags, LoadOptions* options) {
  constexpr char kGroup[] = "Load (one of --rate and --concurrency)";
  auto* rate = app.add_option("--rate", flags->rates,
                              "Open loop: requests per second, sent whatever the server\n"
                              "does; several make stages, A..B is a ramp");
  rate->group(kGroup)->type_name("R,...")->delimiter(',')->allow_extra_args(false);
  app.add_option("--concurrency", flags->concurrencies,
                 "Closed loop: requests in flight; several make stages")
      ->group(kGroup)
      ->type_name("N,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->excludes(rate);
  app.add_option("--arrivals", flags->arrivals, "poisson, gamma or constant")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--burstiness", flags->burstiness,
                 "Of gamma arrivals: 1 is poisson, less comes in bursts,\nmore is more even")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--duration", flags->duration, "Of each stage, like 60s")
      ->group(kGroup)
      ->type_name("TIME");
  app.add_option("--num_requests", options->num_requests, "Of each stage, instead of --duration")
      ->group(kGroup);
  app.add_option("--warmup_requests", options->warmup_requests,
                 "Sent first in each stage, and not counted")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--seed", options->seed, "The same seed sends the same requests")
      ->group(kGroup)
      ->capture_default_str();
}

void AddRequestFlags(CLI::App& app, Flags* flags, LoadOptions* options) {
  constexpr char kGroup[] = "Requests";
  app.add_option("--prompt_tokens", flags->prompt_tokens,
                 "Length of prompts of random tokens: a number,\n"
                 "uniform:MIN,MAX or lognormal:MEAN,STDDEV")
      ->group(kGroup)
      ->type_name("LENGTH")
      ->capture_default_str();
  app.add_option("--output_tokens", flags->output_tokens, "Tokens to generate, likewise")
      ->group(kGroup)
      ->type_name("LENGTH")
      ->capture_default_str();
  app.add_option("--requests_file", options->requests_file,
                 "JSONL, taken line by line, over and over: \"prompt\" (text),\n"
                 "\"prompt_token_ids\" or \"prompt_tokens\" (a number), and\n"
                 "\"output_tokens\"; what a line lacks is drawn as above")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_option("--cancel_share", options->cancel_share,
                 "Of requests cancelled within the first half of their\noutput; 0 to 1")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--slow_share", options->slow_share, "Of requests read slowly; 0 to 1")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--slow_delay", flags->slow_delay, "Before each read of a slow reader")
      ->group(kGroup)
      ->type_name("TIME")
      ->capture_default_str();
  app.add_flag("--stop_at_eos", options->stop_at_eos,
               "End at an end-of-text token; otherwise outputs have the\nlength that was drawn")
      ->group(kGroup);
  app.add_option("--temperature", options->temperature, "0 takes the most likely token")
      ->group(kGroup);
  app.add_flag("--skip_text", options->skip_text, "Ask for tokens without their text")
      ->group(kGroup);
}

void AddGoalFlags(CLI::App& app, Flags* flags, LoadOptions* options) {
  constexpr char kGroup[] = "Objectives";
  app.add_option("--slo,--goodput", flags->slos,
                 "What makes a request good, in milliseconds: ttft, tpot\nand e2el")
      ->group(kGroup)
      ->type_name("NAME:MS,...")
      ->delimiter(',');
  app.add_option("--slo_share", options->slo_share, "Of requests that must be good; above 0 to 1")
      ->group(kGroup)
      ->capture_default_str();
  app.add_flag("--find_max_rate,--find-max-rate", options->find_max_rate,
               "Search for the highest rate that meets the objectives,\nbeginning with --rate")
      ->group(kGroup);
}

void AddServerFlags(CLI::App& app, Flags* flags, LoadOptions* options) {
  constexpr char kGroup[] = "Server";
  app.add_option("--server", options->servers,
                 "Where it listens; several take turns (client-side round\nrobin)")
      ->group(kGroup)
      ->type_name("HOST:PORT,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--channels", options->channels, "Connections to each server, 1 to 1000")
      ->group(kGroup)
      ->capture_default_str();
  app.add_flag("--retry_policy", options->retry_policy,
               "Let gRPC retry UNAVAILABLE, up to 5 attempts")
      ->group(kGroup);
  app.add_option("--timeout", flags->timeout, "Of one request, like 30s")
      ->group(kGroup)
      ->type_name("TIME");
  app.add_option("--model", options->model, "Refuse any model but this")->group(kGroup);
  AddSecurityFlags(app, &options->tls, &options->token_file);
}

void AddOutputFlags(CLI::App& app, LoadOptions* options) {
  constexpr char kGroup[] = "Output";
  app.add_option("--json", options->json, "Write all figures; '-': to standard output")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_option("--html", options->html, "Write a report with plots")
      ->group(kGroup)
      ->type_name("PATH");
  app.add_flag("--quiet", options->quiet, "No progress and no table")->group(kGroup);
}

void Require(bool valid, absl::string_view flag, const std::string& value, absl::string_view why) {
  if (!valid) throw CLI::ValidationError(absl::StrCat(flag, "=", value, ": ", why));
}

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw CLI::ValidationError(std::string(value.status().message()));
  return *std::move(value);
}

absl::Duration ParseTime(absl::string_view flag, const std::string& value) {
  absl::Duration time;
  const bool valid =
      absl::ParseDuration(value, &time) && time > absl::ZeroDuration() && time <= absl::Hours(1000);
  Require(valid, flag, value, "write a duration above 0 and up to 1000h, like 500ms or 30s");
  return time;
}

ArrivalProcess ChooseArrivals(const CLI::App& app, const Flags& flags) {
  Require(flags.burstiness >= 0.01 && flags.burstiness <= 1000, "--burstiness",
          absl::StrCat(flags.burstiness), "write a number from 0.01 to 1000");
  const bool gamma = flags.arrivals == "gamma";
  if (app.count("--burstiness") > 0 && !gamma) {
    throw CLI::RequiresError("--burstiness", "--arrivals=gamma");
  }
  if (flags.arrivals == "constant") return {.burstiness = std::nullopt};
  Require(gamma || flags.arrivals == "poisson", "--arrivals", flags.arrivals,
          "write poisson, gamma or constant");
  return {.burstiness = flags.burstiness};
}

void ChooseLevels(const Flags& flags, LoadOptions* options) {
  for (const std::string& rate : flags.rates) {
    options->levels.push_back(ValueOrThrow(ParseRate(rate)));
  }
  for (const int requests : flags.concurrencies) {
    Require(requests >= 1 && requests <= 100'000, "--concurrency", absl::StrCat(requests),
            "write a number from 1 to 100000");
    options->levels.push_back(Concurrency{requests});
  }
  if (options->levels.empty()) throw CLI::RequiredError("--rate or --concurrency");
}

void ChooseAmount(const Flags& flags, LoadOptions* options) {
  if (!flags.duration.empty()) options->duration = ParseTime("--duration", flags.duration);
  if (options->duration.has_value() == options->num_requests.has_value()) {
    throw CLI::ValidationError("give one of --duration and --num_requests");
  }
  if (options->num_requests.has_value()) {
    Require(*options->num_requests >= 1 && *options->num_requests <= 10'000'000, "--num_requests",
            absl::StrCat(*options->num_requests), "write a number from 1 to 10000000");
  }
  Require(options->warmup_requests >= 0 && options->warmup_requests <= 1'000'000,
          "--warmup_requests", absl::StrCat(options->warmup_requests),
          "write a number from 0 to 1000000");
}

void ChooseShares(const Flags& flags, LoadOptions* options) {
  for (const auto& [flag, share] : {std::pair("--cancel_share", options->cancel_share),
                                    std::pair("--slow_share", options->slow_share)}) {
    Require(share >= 0 && share <= 1, flag, absl::StrCat(share), "write a number from 0 to 1");
  }
  const double sum = options->cancel_share + options->slow_share;
  Require(sum <= 1, "--cancel_share + --slow_share", absl::StrCat(sum), "at most 1 together");
  options->slow_delay = ParseTime("--slow_delay", flags.slow_delay);
}

void ChooseGoal(const Flags& flags, LoadOptions* options) {
  options->slos = ValueOrThrow(ParseSlos(flags.slos));
  Require(options->slo_share > 0 && options->slo_share <= 1, "--slo_share",
          absl::StrCat(options->slo_share), "write a number above 0 and up to 1");
  if (!options->find_max_rate) return;
  if (options->slos.empty()) throw CLI::RequiresError("--find_max_rate", "--slo");
  const auto* rate = std::get_if<RateRange>(&options->levels[0]);
  if (options->levels.size() != 1 || rate == nullptr || rate->begin != rate->end) {
    throw CLI::ValidationError("--find_max_rate begins with one rate: give --rate=R");
  }
}

// What involves several flags, or a value's form.
void Finish(const CLI::App& app, const Flags& flags, LoadOptions* options) {
  ChooseLevels(flags, options);
  options->arrivals = ChooseArrivals(app, flags);
  ChooseAmount(flags, options);
  options->prompt_tokens =
      ValueOrThrow(LengthDistribution::Parse("--prompt_tokens", flags.prompt_tokens));
  options->output_tokens =
      ValueOrThrow(LengthDistribution::Parse("--output_tokens", flags.output_tokens));
  ChooseShares(flags, options);
  Require(options->channels >= 1 && options->channels <= 1000, "--channels",
          absl::StrCat(options->channels), "write a number from 1 to 1000");
  if (!flags.timeout.empty()) options->timeout = ParseTime("--timeout", flags.timeout);
  ChooseGoal(flags, options);
}

}  // namespace

std::string ToString(const LoadLevel& level) {
  if (const auto* concurrency = std::get_if<Concurrency>(&level)) {
    return absl::StrCat("concurrency ", concurrency->requests);
  }
  const auto& rate = std::get<RateRange>(level);
  if (rate.begin == rate.end) return absl::StrCat("rate ", rate.begin);
  return absl::StrCat("rate ", rate.begin, "..", rate.end);
}

LoadCommandLine ParseLoadCommandLine(int argc, const char* const* argv) {
  Flags flags;
  LoadOptions options;
  CLI::App app("Sends load to Winnow servers and reports what they make of it.\n", "winnow-load");
  app.footer(absl::StrCat("\n", kExamples, "\n", kExitCodes));
  app.get_formatter()->column_width(34);
  AddLoadFlags(app, &flags, &options);
  AddRequestFlags(app, &flags, &options);
  AddGoalFlags(app, &flags, &options);
  AddOutputFlags(app, &options);
  AddServerFlags(app, &flags, &options);

  LoadCommandLine line;
  try {
    app.parse(argc, argv);
    Finish(app, flags, &options);
    line.options = std::move(options);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::ParseError& error) {
    line.text = absl::StrCat("winnow-load: ", error.what(), "\nRun with --help for all flags.\n");
    line.exit_code = kExitUsage;
  }
  return line;
}

}  // namespace winnow::load
