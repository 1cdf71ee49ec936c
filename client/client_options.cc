#include "client/client_options.h"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "client/flag_values.h"

namespace winnow {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  winnow-client --max_tokens=16 \"The code of Ada is\"\n"
    "  winnow-client --n=3 --temperature=0.8 --seed=7 \"Once upon a time\"\n"
    "  winnow-client --file=question.txt --stop='\\n\\n' --stop=END --logit_bias=17:-2.5,4:1\n"
    "  winnow-client --detokenize --prompt_ids=$(winnow-client --tokenize \"Ada\")\n";

// The flags' values as CLI11 fills them in; absent ones leave the request's field unset, so that
// the server's default holds.
struct Flags {
  std::string prompt, file, json, timeout;
  std::vector<uint32_t> prompt_ids;
  bool info = false, load = false, tokenize = false, detokenize = false;

  std::optional<float> temperature, top_p, min_p;
  std::optional<uint32_t> top_k, n;
  std::optional<uint64_t> seed;

  std::optional<float> repetition_penalty, frequency_penalty, presence_penalty;
  std::vector<std::string> logit_bias;

  std::optional<uint32_t> max_tokens, min_tokens;
  std::vector<std::string> stop;
  std::vector<uint32_t> stop_token_ids;
  bool ignore_eos = false, include_stop_text = false;

  std::optional<uint32_t> logprobs, prompt_logprobs;
  bool token_ids = false, skip_text = false, include_special_tokens = false, state_usage = false;

  std::string model, request_id;
  int32_t priority = 0;
};

void AddPromptFlags(CLI::App& app, Flags* flags) {
  auto* prompt = app.add_option("prompt", flags->prompt, "The prompt's text");
  prompt->group("Prompt");
  auto* file = app.add_option("--file", flags->file,
                              "Read the prompt from a file, '-' for standard input; one line\n"
                              "break at its end is dropped");
  file->group("Prompt")->type_name("PATH")->excludes(prompt);
  app.add_option("--prompt_ids", flags->prompt_ids, "The prompt as token ids, with commas between")
      ->group("Prompt")
      ->type_name("ID,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->excludes(prompt)
      ->excludes(file);
}

void AddSamplingFlags(CLI::App& app, Flags* flags) {
  constexpr char kGroup[] = "Sampling (defaults are the server's)";
  app.add_option("--temperature", flags->temperature, "0 takes the most likely token")
      ->group(kGroup);
  app.add_option("--top_k", flags->top_k, "Only the k most likely tokens")->group(kGroup);
  app.add_option("--top_p", flags->top_p, "Only the most likely tokens up to this probability")
      ->group(kGroup);
  app.add_option("--min_p", flags->min_p,
                 "Only tokens at least this likely, compared to the\n"
                 "most likely one; 0 to 1")
      ->group(kGroup);
  app.add_option("--seed", flags->seed, "The same seed gives the same answer")->group(kGroup);
  app.add_option("--n", flags->n,
                 "Choices from one prompt, each with a seed of its own;\n"
                 "numbered from 0 and shown one by one, each when whole")
      ->group(kGroup);
}

void AddPenaltyFlags(CLI::App& app, Flags* flags) {
  constexpr char kGroup[] = "Penalties and biases";
  app.add_option("--repetition_penalty", flags->repetition_penalty,
                 "Divides the logits above 0 of tokens seen in prompt or\n"
                 "output, multiplies those below; above 0, 1 is none")
      ->group(kGroup);
  app.add_option("--frequency_penalty", flags->frequency_penalty,
                 "Taken off for each time a token is in the output;\n"
                 "-2 to 2")
      ->group(kGroup);
  app.add_option("--presence_penalty", flags->presence_penalty,
                 "Taken off once if a token is in the output; -2 to 2")
      ->group(kGroup);
  app.add_option("--logit_bias", flags->logit_bias, "Added to the logits of these tokens")
      ->group(kGroup)
      ->type_name("ID:BIAS,...")
      ->allow_extra_args(false);
}

void AddStopFlags(CLI::App& app, Flags* flags) {
  constexpr char kGroup[] = "Length";
  app.add_option("--max_tokens", flags->max_tokens, "Output tokens at most")->group(kGroup);
  app.add_option("--min_tokens", flags->min_tokens, "Output tokens before anything may end it")
      ->group(kGroup);
  app.add_option("--stop", flags->stop,
                 "Text that ends the output; may be given several times.\n"
                 "\\n is a line break, \\t a tab, \\\\ a backslash")
      ->group(kGroup)
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--include_stop_text", flags->include_stop_text, "Show the text that ended it too")
      ->group(kGroup);
  app.add_option("--stop_token_ids", flags->stop_token_ids, "Tokens that end the output")
      ->group(kGroup)
      ->type_name("ID,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_flag("--ignore_eos", flags->ignore_eos, "Go on after an end-of-text token")
      ->group(kGroup);
}

void AddOutputFlags(CLI::App& app, Flags* flags, ClientOptions* options) {
  constexpr char kGroup[] = "Output";
  // A flag, so that it takes a value after '=' only and not the prompt.
  app.add_flag("--json", flags->json,
               "One JSON object at the end; --json=stream: one line per\n"
               "message as it comes")
      ->group(kGroup);
  app.add_flag("--quiet", options->quiet, "No times at the end (on stderr)")->group(kGroup);
  app.add_option("--logprobs", flags->logprobs, "Report tokens' logprobs with n alternatives")
      ->group(kGroup);
  app.add_option("--prompt_logprobs", flags->prompt_logprobs, "The same for the prompt's tokens")
      ->group(kGroup);
  app.add_flag("--token_ids", flags->token_ids, "Report token ids")->group(kGroup);
  app.add_flag("--skip_text", flags->skip_text, "No text (for models without tokenizer)")
      ->group(kGroup);
  app.add_flag("--include_special_tokens", flags->include_special_tokens,
               "Show special tokens in the text")
      ->group(kGroup);
  app.add_flag("--state_usage", flags->state_usage, "Report how many tokens each head kept")
      ->group(kGroup);
}

void AddServerFlags(CLI::App& app, Flags* flags, ClientOptions* options) {
  constexpr char kGroup[] = "Server";
  app.add_option("--server", options->server, "Where it listens")
      ->group(kGroup)
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--timeout", flags->timeout, "Give up after this time, like 30s")
      ->group(kGroup)
      ->type_name("TIME");
  app.add_option("--model", flags->model, "Refuse any model but this")->group(kGroup);
  app.add_option("--priority", flags->priority, "Higher goes first, -100 to 100; 0 is normal")
      ->group(kGroup);
  app.add_option("--request_id", flags->request_id, "Appears in the server's log")->group(kGroup);
  app.add_flag("--info", flags->info, "Print what the server serves, as JSON")->group(kGroup);
  app.add_flag("--load", flags->load, "Print how busy the server is, as JSON")->group(kGroup);
}

void AddTokenizerFlags(CLI::App& app, Flags* flags, ClientOptions* options) {
  constexpr char kGroup[] = "Tokenizer (nothing is generated; --json prints an object)";
  auto* tokenize = app.add_flag("--tokenize", flags->tokenize, "Print the prompt's token ids");
  tokenize->group(kGroup);
  app.add_flag("--skip_special_tokens", options->skip_special_tokens,
               "Leave out the special tokens that --tokenize adds")
      ->group(kGroup)
      ->needs(tokenize);
  app.add_flag("--detokenize", flags->detokenize, "Print the text of --prompt_ids")->group(kGroup);
}

template <typename T, typename Set>
void SetIfGiven(const std::optional<T>& value, Set set) {
  if (value.has_value()) set(*value);
}

void FillSampling(const Flags& flags, v1::SamplingOptions* sampling) {
  SetIfGiven(flags.temperature, [&](float value) { sampling->set_temperature(value); });
  SetIfGiven(flags.top_k, [&](uint32_t value) { sampling->set_top_k(value); });
  SetIfGiven(flags.top_p, [&](float value) { sampling->set_top_p(value); });
  SetIfGiven(flags.min_p, [&](float value) { sampling->set_min_p(value); });
  SetIfGiven(flags.seed, [&](uint64_t value) { sampling->set_seed(value); });
  SetIfGiven(flags.n, [&](uint32_t value) { sampling->set_n(value); });
  SetIfGiven(flags.repetition_penalty,
             [&](float value) { sampling->set_repetition_penalty(value); });
  SetIfGiven(flags.frequency_penalty, [&](float value) { sampling->set_frequency_penalty(value); });
  SetIfGiven(flags.presence_penalty, [&](float value) { sampling->set_presence_penalty(value); });
  std::map<uint32_t, float> biases;
  for (const std::string& value : flags.logit_bias) {
    const absl::Status status = ParseLogitBias(value, &biases);
    if (!status.ok()) throw CLI::ValidationError(std::string(status.message()));
  }
  sampling->mutable_logit_bias()->insert(biases.begin(), biases.end());
}

void FillStop(const Flags& flags, v1::StopOptions* stop) {
  SetIfGiven(flags.max_tokens, [&](uint32_t value) { stop->set_max_tokens(value); });
  SetIfGiven(flags.min_tokens, [&](uint32_t value) { stop->set_min_tokens(value); });
  for (const std::string& value : flags.stop) {
    auto text = ParseStopText(value);
    if (!text.ok()) throw CLI::ValidationError(std::string(text.status().message()));
    stop->add_stop(*std::move(text));
  }
  stop->mutable_stop_token_ids()->Assign(flags.stop_token_ids.begin(), flags.stop_token_ids.end());
  stop->set_ignore_eos(flags.ignore_eos);
  stop->set_include_stop_text(flags.include_stop_text);
}

void FillOutput(const Flags& flags, v1::OutputOptions* output) {
  SetIfGiven(flags.logprobs, [&](uint32_t value) { output->set_logprobs(value); });
  SetIfGiven(flags.prompt_logprobs, [&](uint32_t value) { output->set_prompt_logprobs(value); });
  output->set_token_ids(flags.token_ids);
  output->set_skip_text(flags.skip_text);
  output->set_include_special_tokens(flags.include_special_tokens);
  output->set_state_usage(flags.state_usage);
}

void FillRequest(const Flags& flags, v1::GenerateRequest* request) {
  request->set_model(flags.model);
  request->set_request_id(flags.request_id);
  request->set_priority(flags.priority);
  FillSampling(flags, request->mutable_sampling());
  FillStop(flags, request->mutable_stop());
  FillOutput(flags, request->mutable_output());
}

// At most one of the flags that ask for something else than an answer.
ClientAction ChooseAction(const Flags& flags) {
  const struct {
    bool given;
    const char* flag;
    ClientAction action;
  } actions[] = {{flags.info, "--info", ClientAction::kModelInfo},
                 {flags.load, "--load", ClientAction::kLoad},
                 {flags.tokenize, "--tokenize", ClientAction::kTokenize},
                 {flags.detokenize, "--detokenize", ClientAction::kDetokenize}};
  const char* chosen = nullptr;
  ClientAction action = ClientAction::kGenerate;
  for (const auto& candidate : actions) {
    if (!candidate.given) continue;
    if (chosen != nullptr) throw CLI::ExcludesError(chosen, candidate.flag);
    chosen = candidate.flag;
    action = candidate.action;
  }
  return action;
}

OutputForm ChooseForm(const std::string& json, ClientAction action) {
  if (json == "true") return OutputForm::kJson;
  if (json != "stream") {
    throw CLI::ValidationError(absl::StrCat("--json=", json, ": write --json or --json=stream"));
  }
  if (action != ClientAction::kGenerate) {
    throw CLI::ValidationError("--json=stream: only an answer comes as a stream; write --json");
  }
  return OutputForm::kJsonStream;
}

absl::Duration ParseTimeout(const std::string& value) {
  absl::Duration timeout;
  if (!absl::ParseDuration(value, &timeout) || timeout <= absl::ZeroDuration()) {
    throw CLI::ValidationError(
        absl::StrCat("--timeout=", value, ": write a duration above 0, like 500ms or 30s"));
  }
  return timeout;
}

void ChoosePrompt(const CLI::App& app, const Flags& flags, bool stdin_is_terminal,
                  ClientOptions* options) {
  const bool has_ids = app.count("--prompt_ids") > 0;
  if (options->action == ClientAction::kTokenize && has_ids) {
    throw CLI::ExcludesError("--tokenize", "--prompt_ids");
  }
  if (options->action == ClientAction::kDetokenize && !has_ids) {
    throw CLI::RequiresError("--detokenize", "--prompt_ids");
  }
  if (app.count("prompt") > 0) {
    options->request.set_text(flags.prompt);
  } else if (has_ids) {
    options->request.mutable_token_ids()->mutable_ids()->Assign(flags.prompt_ids.begin(),
                                                                flags.prompt_ids.end());
  } else if (app.count("--file") > 0) {
    options->prompt_file = flags.file;
  } else if (options->action == ClientAction::kGenerate ||
             options->action == ClientAction::kTokenize) {
    if (stdin_is_terminal) {
      throw CLI::RequiredError("A prompt (an argument, --file, --prompt_ids or standard input)");
    }
    options->prompt_file = "-";
  }
}

// What involves several flags, or a value's form.
void Finish(const CLI::App& app, const Flags& flags, bool stdin_is_terminal,
            ClientOptions* options) {
  options->action = ChooseAction(flags);
  if (app.count("--json") > 0) options->form = ChooseForm(flags.json, options->action);
  if (!flags.timeout.empty()) options->timeout = ParseTimeout(flags.timeout);
  FillRequest(flags, &options->request);
  ChoosePrompt(app, flags, stdin_is_terminal, options);
}

}  // namespace

ClientCommandLine ParseClientCommandLine(int argc, const char* const* argv,
                                         bool stdin_is_terminal) {
  Flags flags;
  ClientOptions options;
  CLI::App app("Sends one prompt to a Winnow server and prints the answer as it comes.\n",
               "winnow-client");
  app.footer(absl::StrCat("\n", kExamples, "\n", kExitCodesHelp));
  app.get_formatter()->column_width(34);
  AddPromptFlags(app, &flags);
  AddSamplingFlags(app, &flags);
  AddPenaltyFlags(app, &flags);
  AddStopFlags(app, &flags);
  AddOutputFlags(app, &flags, &options);
  AddTokenizerFlags(app, &flags, &options);
  AddServerFlags(app, &flags, &options);
  AddSecurityFlags(app, &options.tls, &options.token_file);

  ClientCommandLine line;
  try {
    app.parse(argc, argv);
    Finish(app, flags, stdin_is_terminal, &options);
    line.options = std::move(options);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
  } catch (const CLI::ParseError& error) {
    line.text = absl::StrCat("winnow-client: ", error.what(), "\nRun with --help for all flags.\n");
    line.exit_code = kExitUsage;
  }
  return line;
}

}  // namespace winnow
