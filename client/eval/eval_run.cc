#include "client/eval/eval_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/count_tokens.h"
#include "client/eval/questions.h"
#include "client/eval/word_counts.h"
#include "client/load/load_options.h"
#include "client/load/load_target.h"
#include "client/load/progress.h"
#include "client/load/random.h"
#include "client/load/stage_runner.h"

namespace winnow::eval {
namespace {

constexpr uint32_t kTimedTokens = 65;  // of each request's answer

struct Server {
  Variant variant;
  std::unique_ptr<load::LoadTarget> target;
  v1::GetModelInfoResponse info;
};

absl::Status About(const Variant& variant, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("server ", variant.name, " at ", variant.address,
                                                  ": ", status.message()));
}

absl::StatusOr<Server> ConnectTo(const Variant& variant, const EvalOptions& options) {
  load::LoadOptions load;
  load.servers = {variant.address};
  load.tls = options.tls;
  load.token_file = options.token_file;
  auto target = load::LoadTarget::Create(load);
  if (!target.ok()) return About(variant, target.status());
  auto info = (*target)->GetModelInfo("");
  if (!info.ok()) return About(variant, info.status());
  if (!info->has_tokenizer()) {
    return About(variant, absl::FailedPreconditionError("the model has no tokenizer"));
  }
  return Server{variant, *std::move(target), *std::move(info)};
}

absl::StatusOr<std::vector<Server>> ConnectToAll(const EvalOptions& options) {
  std::vector<Server> servers;
  for (const Variant& variant : options.variants) {
    auto server = ConnectTo(variant, options);
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
  }
  return servers;
}

absl::StatusOr<Questions> MakeQuestions(const EvalOptions& options, load::LoadTarget* target) {
  WordCounts counts([target](const std::string& word) {
    return CountTokens(target->NextStub(), target->authorization(), word);
  });
  return Questions::Make(options.plan, options.seed,
                         [&counts](const std::string& text) { return counts.Count(text); });
}

// The same request over and over, to be timed.
class TimedSource final : public load::RequestSource {
 public:
  explicit TimedSource(v1::GenerateRequest request) : request_(std::move(request)) {
    request_.mutable_stop()->Clear();
    request_.mutable_stop()->set_max_tokens(kTimedTokens);
    request_.mutable_stop()->set_ignore_eos(true);
  }

  load::PlannedRequest Next() override {
    load::PlannedRequest planned;
    planned.number = next_++;
    planned.request = request_;
    return planned;
  }

 private:
  v1::GenerateRequest request_;
  int64_t next_ = 0;
};

// What the asking of one variant has in common.
struct Asking {
  const EvalOptions& options;
  Server* server;
  load::Stopper* stopper;
};

load::StageResult RunStage(const Asking& asking, const std::string& what, int concurrency,
                           int64_t num_requests, load::RequestSource* source) {
  load::Progress progress(!asking.options.quiet && isatty(STDERR_FILENO) != 0);
  load::LoadTarget* const target = asking.server->target.get();
  load::StageRunner runner(target, source,
                           {.authorization = target->authorization(),
                            .timeout = asking.options.timeout,
                            .keep_text = true},
                           [&](const load::StageProgress& now) { progress.Show(now); });
  asking.stopper->Watch(&runner);
  progress.Begin(what);
  load::Random arrivals;  // a closed loop draws none
  load::StageResult stage = runner.Run(
      {.level = load::Concurrency{concurrency}, .num_requests = num_requests}, &arrivals);
  progress.End();
  asking.stopper->Watch(nullptr);
  return stage;
}

void CountErrors(const load::StageResult& stage, VariantResult* result) {
  result->stopped |= stage.stopped;
  for (const load::CallRecord& record : stage.records) {
    if (!record.failed()) continue;
    if (stage.stopped && record.code == absl::StatusCode::kCancelled) continue;
    ++result->errors[absl::StrCat(absl::StatusCodeToString(record.code), ": ", record.message)];
  }
}

// The median, or the lower of the two in the middle. REQUIRES: values.
double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// None: no request ended well.
std::optional<TokenTimes> TimesOf(const std::vector<load::CallRecord>& records) {
  TokenTimes times;
  std::vector<double> prompt_us, output_us;
  for (const load::CallRecord& record : records) {
    if (record.failed() || record.prompt_tokens == 0 || record.output_tokens < 2) continue;
    const int64_t first_ns = *record.first_token_ns;
    times.prompt_tokens = record.prompt_tokens;
    prompt_us.push_back(static_cast<double>(first_ns - record.sent_ns) * 1e-3 /
                        record.prompt_tokens);
    output_us.push_back(static_cast<double>(record.end_ns - first_ns) * 1e-3 /
                        (record.output_tokens - 1));
  }
  if (prompt_us.empty()) return std::nullopt;
  times.prompt_us = Median(std::move(prompt_us));
  times.output_us = Median(std::move(output_us));
  return times;
}

void Summarize(const Questions& questions, const load::StageResult& stage, VariantResult* result) {
  result->cells = Tally(questions, stage.records);
  int64_t end_ns = stage.start_ns;
  for (const load::CallRecord& record : stage.records) {
    end_ns = std::max(end_ns, record.end_ns);
    if (!record.failed()) result->prompt_tokens += record.prompt_tokens;
  }
  result->seconds = static_cast<double>(end_ns - stage.start_ns) * 1e-9;
  CountErrors(stage, result);
}

VariantResult Ask(const Asking& asking, const Questions& questions) {
  const Server& server = *asking.server;
  VariantResult result = {
      .name = server.variant.name, .address = server.variant.address, .info = server.info};
  QuestionSource source(&questions);
  Summarize(questions,
            RunStage(asking, result.name, asking.options.concurrency, questions.size(), &source),
            &result);
  if (!asking.options.time || result.stopped) return result;
  TimedSource timed(questions.Request(questions.Longest()));
  const load::StageResult stage =
      RunStage(asking, absl::StrCat(result.name, ", alone"), 1, kTimedRequests, &timed);
  CountErrors(stage, &result);
  result.times = TimesOf(stage.records);
  return result;
}

}  // namespace

absl::StatusOr<EvalResult> RunEval(const EvalOptions& options, load::Stopper* stopper) {
  EvalResult result = {
      .date = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()),
      .seed = options.seed,
      .concurrency = options.concurrency};
  for (const PlannedCell& planned : options.plan) result.cells.push_back(planned.cell);
  auto servers = ConnectToAll(options);
  if (!servers.ok()) return servers.status();
  const auto questions = MakeQuestions(options, servers->front().target.get());
  if (!questions.ok()) return About(options.variants[0], questions.status());
  for (Server& server : *servers) {
    result.variants.push_back(Ask({options, &server, stopper}, *questions));
    if (result.variants.back().stopped) break;
  }
  return result;
}

}  // namespace winnow::eval
