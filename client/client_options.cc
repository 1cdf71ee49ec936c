#include "client/client_options.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"

namespace winnow {
namespace {

// The flags' values as CLI11 fills them in; absent ones leave the request's field unset, so that
// the server's default holds.
struct Flags {
  std::string prompt, file, json, timeout;
  std::vector<uint32_t> prompt_ids;
  bool info = false, load = false;

  std::optional<float> temperature, top_p;
  std::optional<uint32_t> top_k;
  std::optional<uint64_t> seed;

  std::optional<uint32_t> max_tokens;
  std::vector<uint32_t> stop_token_ids;
  bool ignore_eos = false;

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
  app.add_option("--seed", flags->seed, "The same seed gives the same answer")->group(kGroup);
}

void AddStopFlags(CLI::App& app, Flags* flags) {
  constexpr char kGroup[] = "Length";
  app.add_option("--max_tokens", flags->max_tokens, "Output tokens at most")->group(kGroup);
  app.add_option("--stop_token_ids", flags->stop_token_ids, "Tokens that end the output")
      ->group(kGroup)
      ->type_name("ID,...")
      ->delimiter(',');
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
  app.add_option("--priority", flags->priority, "Higher goes first; 0 is normal")->group(kGroup);
  app.add_option("--request_id", flags->request_id, "Appears in the server's log")->group(kGroup);
  app.add_flag("--info", flags->info, "Print what the server serves, as JSON")->group(kGroup);
  app.add_flag("--load", flags->load, "Print how busy the server is, as JSON")->group(kGroup);
}

void AddSecurityFlags(CLI::App& app, ClientOptions* options) {
  constexpr char kGroup[] = "Security";
  TlsFlags* tls = &options->tls;
  auto* enabled = app.add_flag("--tls", tls->enabled, "Speak TLS")->group(kGroup);
  const auto add = [&](const std::string& flag, std::string* value, const char* type,
                       const char* help) {
    return app.add_option(flag, *value, help)->group(kGroup)->type_name(type);
  };
  add("--tls_ca", &tls->ca, "PATH", "CA certificates to trust, PEM; default: the system's")
      ->needs(enabled);
  auto* cert = add("--tls_cert", &tls->cert, "PATH", "Show this certificate, PEM")->needs(enabled);
  auto* key = add("--tls_key", &tls->key, "PATH", "Its key, PEM")->needs(enabled);
  cert->needs(key);
  key->needs(cert);
  add("--tls_server_name", &tls->server_name, "NAME",
      "Name in the server's certificate, if it is not the host")
      ->needs(enabled);
  add("--token_file", &options->token_file, "PATH", "File with the bearer token to send");
}

template <typename T, typename Set>
void SetIfGiven(const std::optional<T>& value, Set set) {
  if (value.has_value()) set(*value);
}

void FillRequest(const Flags& flags, v1::GenerateRequest* request) {
  request->set_model(flags.model);
  request->set_request_id(flags.request_id);
  request->set_priority(flags.priority);
  v1::SamplingOptions* sampling = request->mutable_sampling();
  SetIfGiven(flags.temperature, [&](float value) { sampling->set_temperature(value); });
  SetIfGiven(flags.top_k, [&](uint32_t value) { sampling->set_top_k(value); });
  SetIfGiven(flags.top_p, [&](float value) { sampling->set_top_p(value); });
  SetIfGiven(flags.seed, [&](uint64_t value) { sampling->set_seed(value); });
  v1::StopOptions* stop = request->mutable_stop();
  SetIfGiven(flags.max_tokens, [&](uint32_t value) { stop->set_max_tokens(value); });
  stop->mutable_stop_token_ids()->Assign(flags.stop_token_ids.begin(), flags.stop_token_ids.end());
  stop->set_ignore_eos(flags.ignore_eos);
  v1::OutputOptions* output = request->mutable_output();
  SetIfGiven(flags.logprobs, [&](uint32_t value) { output->set_logprobs(value); });
  SetIfGiven(flags.prompt_logprobs, [&](uint32_t value) { output->set_prompt_logprobs(value); });
  output->set_token_ids(flags.token_ids);
  output->set_skip_text(flags.skip_text);
  output->set_include_special_tokens(flags.include_special_tokens);
  output->set_state_usage(flags.state_usage);
}

// What involves several flags, or a value's form.
void Finish(const CLI::App& app, const Flags& flags, bool stdin_is_terminal,
            ClientOptions* options) {
  if (flags.info && flags.load) throw CLI::ExcludesError("--info", "--load");
  if (flags.info) options->action = ClientAction::kModelInfo;
  if (flags.load) options->action = ClientAction::kLoad;
  if (app.count("--json") > 0) {
    if (flags.json != "true" && flags.json != "stream") {
      throw CLI::ValidationError(
          absl::StrCat("--json=", flags.json, ": write --json or --json=stream"));
    }
    options->form = flags.json == "stream" ? OutputForm::kJsonStream : OutputForm::kJson;
  }
  if (!flags.timeout.empty()) {
    absl::Duration timeout;
    if (!absl::ParseDuration(flags.timeout, &timeout) || timeout <= absl::ZeroDuration()) {
      throw CLI::ValidationError(absl::StrCat("--timeout=", flags.timeout,
                                              ": write a duration above 0, like 500ms or 30s"));
    }
    options->timeout = timeout;
  }
  FillRequest(flags, &options->request);
  if (app.count("prompt") > 0) {
    options->request.set_text(flags.prompt);
  } else if (app.count("--prompt_ids") > 0) {
    options->request.mutable_token_ids()->mutable_ids()->Assign(flags.prompt_ids.begin(),
                                                                flags.prompt_ids.end());
  } else if (app.count("--file") > 0) {
    options->prompt_file = flags.file;
  } else if (options->action == ClientAction::kGenerate) {
    if (stdin_is_terminal) {
      throw CLI::RequiredError("A prompt (an argument, --file, --prompt_ids or standard input)");
    }
    options->prompt_file = "-";
  }
}

}  // namespace

ClientCommandLine ParseClientCommandLine(int argc, const char* const* argv,
                                         bool stdin_is_terminal) {
  Flags flags;
  ClientOptions options;
  CLI::App app("Sends one prompt to a Winnow server and prints the answer as it comes.\n",
               "winnow-client");
  app.footer(absl::StrCat("\n", kExitCodesHelp));
  app.get_formatter()->column_width(34);
  AddPromptFlags(app, &flags);
  AddSamplingFlags(app, &flags);
  AddStopFlags(app, &flags);
  AddOutputFlags(app, &flags, &options);
  AddServerFlags(app, &flags, &options);
  AddSecurityFlags(app, &options);

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
