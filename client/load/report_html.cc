#include "client/load/report_html.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/load/html_page.h"
#include "client/load/load_plots.h"
#include "client/load/svg_plot.h"

namespace winnow::load {
namespace {

std::string Number(double value) {
  if (value >= 1000) return absl::StrFormat("%.0f", value);
  return absl::StrFormat(value >= 100 ? "%.1f" : "%.2f", value);
}

std::string Sent(const LoadOptions& options) {
  std::string text =
      options.requests_file.empty()
          ? absl::StrCat("Prompts of ", options.prompt_tokens.ToString(), " random tokens, ",
                         options.output_tokens.ToString(), " output tokens")
          : absl::StrCat("Requests from ", options.requests_file,
                         ", in part drawn (prompts: ", options.prompt_tokens.ToString(),
                         " tokens, outputs: ", options.output_tokens.ToString(), ")");
  if (std::holds_alternative<RateRange>(options.levels[0])) {
    const auto& burstiness = options.arrivals.burstiness;
    absl::StrAppend(&text, "; arrivals ",
                    !burstiness.has_value() ? std::string("constant")
                    : *burstiness == 1      ? std::string("Poisson")
                                            : absl::StrCat("gamma, burstiness ", *burstiness));
  }
  if (options.cancel_share > 0) {
    absl::StrAppend(&text, "; ", 100 * options.cancel_share, "% cancelled");
  }
  if (options.slow_share > 0) {
    absl::StrAppend(&text, "; ", 100 * options.slow_share, "% read slowly");
  }
  return absl::StrCat(text, "; seed ", options.seed, ".");
}

std::string Objectives(const LoadOptions& options, const MeasuredRun& run) {
  std::vector<std::string> limits;
  for (const auto& [name, ms] : {std::pair("first token", options.slos.ttft_ms),
                                 std::pair("per token", options.slos.tpot_ms),
                                 std::pair("end to end", options.slos.e2el_ms)}) {
    if (ms.has_value()) limits.push_back(absl::StrCat(name, " up to ", *ms, " ms"));
  }
  if (limits.empty()) return "";
  std::string html = absl::StrCat("<p>Good requests: ", absl::StrJoin(limits, ", "), ".");
  if (options.find_max_rate) {
    absl::StrAppend(&html, " Highest rate of which ", 100 * options.slo_share, "% are good: <b>",
                    run.max_rate.has_value() ? absl::StrFormat("%.3g requests/s", *run.max_rate)
                                             : "none that was tried",
                    "</b>.");
  }
  return html + "</p>\n";
}

std::string Counts(const LoadOptions& options, const MeasuredRun& run) {
  std::vector<HtmlRow> rows = {{"load", "completed", "cancelled", "failed", "seconds", "requests/s",
                                "output tokens/s", "all tokens/s", "most open"}};
  const bool goodput = !options.slos.empty();
  if (goodput) rows[0].insert(rows[0].end(), {"good/s", "good"});
  for (const MeasuredStage& stage : run.stages) {
    const StageSummary& s = stage.summary;
    rows.push_back({s.level, absl::StrCat(s.completed), absl::StrCat(s.cancelled),
                    absl::StrCat(s.failed), absl::StrFormat("%.1f", s.duration),
                    Number(s.request_throughput), Number(s.output_throughput),
                    Number(s.total_token_throughput), absl::StrCat(s.max_concurrent_requests)});
    if (goodput) {
      rows.back().push_back(Number(s.request_goodput.value_or(0)));
      rows.back().push_back(absl::StrFormat("%.1f%%", 100 * s.good_share.value_or(0)));
    }
  }
  return HtmlTable(rows);
}

std::string Latencies(const MeasuredRun& run) {
  std::string html;
  const std::pair<const char*, Distribution StageSummary::*> kinds[] = {
      {"first token", &StageSummary::ttft},
      {"inter-token", &StageSummary::itl},
      {"per token", &StageSummary::tpot},
      {"end to end", &StageSummary::e2el},
      {"sent late (the client's own)", &StageSummary::lateness}};
  std::vector<HtmlRow> rows = {{"load", "milliseconds", "mean", "p50", "p90", "p95", "p99", "max"}};
  for (const MeasuredStage& stage : run.stages) {
    for (const auto& [name, member] : kinds) {
      const Distribution& d = stage.summary.*member;
      rows.push_back({stage.summary.level, name, Number(d.mean), Number(d.p50), Number(d.p90),
                      Number(d.p95), Number(d.p99), Number(d.max)});
    }
  }
  return HtmlTable(rows);
}

std::string Errors(const MeasuredRun& run) {
  std::vector<HtmlRow> rows = {{"load", "failed", "why"}};
  for (const MeasuredStage& stage : run.stages) {
    for (const auto& [error, count] : stage.summary.errors) {
      rows.push_back({stage.summary.level, absl::StrCat(count), error});
    }
  }
  return rows.size() == 1 ? "" : "<h2>Failed requests</h2>\n" + HtmlTable(rows);
}

std::string ClientItself(const LoadOptions& options, const MeasuredRun& run) {
  std::vector<HtmlRow> rows = {{"load", "messages received", "CPU per message, us",
                                "sent late, p99 ms", "sent late, max ms"}};
  for (const MeasuredStage& stage : run.stages) {
    const StageSummary& s = stage.summary;
    rows.push_back({s.level, absl::StrCat(s.received_messages), Number(s.cpu_us_per_message),
                    Number(s.lateness.p99), Number(s.lateness.max)});
  }
  return absl::StrCat(
      "<h2>The client itself</h2>\n", HtmlTable(rows),
      options.retry_policy ? absl::StrCat("<p>Retries: ", run.retries, "</p>\n") : "");
}

std::string Plots(const LoadOptions& options, const MeasuredRun& run) {
  std::string html;
  if (run.stages.size() > 1) {
    absl::StrAppend(&html, "<h2>Against load</h2>\n", RenderSvg(TokensAgainstLevel(run)),
                    RenderSvg(RequestsAgainstLevel(run)),
                    RenderSvg(LatencyAgainstLevel(options, run)));
  }
  absl::StrAppend(&html, "<h2>Distributions</h2>\n", RenderSvg(TtftCdf(options, run)),
                  RenderSvg(InterTokenCdf(run)), "<h2>Timeline</h2>\n",
                  RenderSvg(TokensOverTime(run)), RenderSvg(OpenOverTime(run)),
                  RenderSvg(TtftOverTime(run)));
  return html;
}

}  // namespace

std::string RunToHtml(const LoadOptions& options, const MeasuredRun& run) {
  return HtmlPage(
      absl::StrCat("Load test of ", run.model),
      absl::StrCat(
          "<p>", EscapeXml(run.backend), " at ", EscapeXml(absl::StrJoin(options.servers, ", ")),
          ", ", EscapeXml(run.date), ". ", EscapeXml(Sent(options)), "</p>\n",
          Objectives(options, run), "<h2>Throughput</h2>\n", Counts(options, run),
          "<h2>Latency</h2>\n", Latencies(run),
          "<p class=\"note\">Times count from the scheduled send time. Latencies are those "
          "of requests that completed and were read at full speed.</p>\n",
          Errors(run), Plots(options, run), ClientItself(options, run)));
}

}  // namespace winnow::load
