// What /metrics says: names, and numbers as clients count them.
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "server/metrics_port.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/http_get.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/scrape.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

constexpr char kPage[] = "docs/metrics.md";

// The word between backquotes that a cell of a table consists of, or each of several.
std::vector<std::string> Quoted(absl::string_view cell) {
  std::vector<std::string> words;
  const std::vector<std::string> parts = absl::StrSplit(cell, '`');
  for (size_t i = 1; i < parts.size(); i += 2) words.push_back(parts[i]);
  return words;
}

// Rows "| `name` | type | `label`, `label` | what |" of the page.
std::map<std::string, ScrapedFamily> DocumentedFamilies() {
  std::map<std::string, ScrapedFamily> families;
  std::ifstream page(kPage);
  std::string line;
  while (std::getline(page, line)) {
    if (!absl::StartsWith(line, "| `")) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    WINNOW_CHECK(cells.size() == 6) << line;
    ScrapedFamily family;
    family.type = std::string(absl::StripAsciiWhitespace(cells[2]));
    for (const std::string& label : Quoted(cells[3])) family.labels.insert(label);
    WINNOW_CHECK(families.emplace(Quoted(cells[1]).at(0), family).second) << line;
  }
  return families;
}

// A server and its metrics port.
struct MeasuredServer {
  explicit MeasuredServer(const Options& options = TestOptions()) : server(options) {
    auto started = MetricsPort::Start(0, server.server().metrics());
    WINNOW_CHECK(started.ok()) << started.status();
    port = *std::move(started);
  }
  Scrape Read() const { return ScrapePort(port->port()); }

  TestServer server;
  std::unique_ptr<MetricsPort> port;
};

std::string Finished(const std::string& reason) {
  return absl::StrCat("winnow_requests_finished_total{reason=\"", reason, "\"}");
}
std::string Rejected(const std::string& reason) {
  return absl::StrCat("winnow_requests_rejected_total{reason=\"", reason, "\"}");
}

TEST(MetricsTest, NamesTypesAndLabelsAreThoseOfThePage) {
  Options options = TestOptions();
  options.metrics_aliases = "vllm";
  MeasuredServer measured(options);
  const Scrape scrape = measured.Read();
  const auto documented = DocumentedFamilies();
  for (const auto& [name, family] : scrape.families) {
    const auto row = documented.find(name);
    ASSERT_NE(row, documented.end()) << name << " is not in " << kPage;
    EXPECT_EQ(row->second.type, family.type) << name;
    EXPECT_EQ(row->second.labels, family.labels) << name;
  }
  for (const auto& [name, family] : documented) {
    EXPECT_EQ(scrape.families.count(name), 1u) << name << " of " << kPage << " is not served";
  }
}

TEST(MetricsTest, PageNamesEveryReason) {
  std::ifstream file(kPage);
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  const Scrape scrape = MeasuredServer().Read();
  for (const auto& [sample, value] : scrape.samples) {
    if (!absl::StartsWith(sample, "winnow_requests_")) continue;
    const std::vector<std::string> parts = absl::StrSplit(sample, '"');
    if (parts.size() != 3) continue;
    EXPECT_THAT(page, HasSubstr(absl::StrCat("`", parts[1], "`"))) << value;
  }
}

TEST(MetricsTest, PromtoolFindsNothingToSay) {
  if (const auto why = WhyMissing("promtool"); why.has_value()) GTEST_SKIP() << *why;
  MeasuredServer measured;
  Client client(measured.server.address());
  client.Generate(IdsRequest(SomePrompt(40), 5));
  const std::string path = absl::StrCat(testing::TempDir(), "/scrape");
  std::ofstream(path) << measured.Read().text;
  const Ended run = RunCommand(absl::StrCat("promtool check metrics <", path, " 2>&1"));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, "");
}

TEST(MetricsTest, CountsWhatClientsCount) {
  MeasuredServer measured;
  Client client(measured.server.address());
  for (int i = 1; i <= 10; ++i) client.Generate(IdsRequest(SomePrompt(10 * i, i), i));
  v1::GenerateRequest choices = IdsRequest(SomePrompt(30), 7);
  choices.mutable_sampling()->set_n(3);
  EXPECT_EQ(client.Generate(choices).code, absl::StatusCode::kOk);
  v1::GenerateRequest invalid = IdsRequest(SomePrompt(5), 5);
  invalid.mutable_sampling()->set_top_p(7);
  EXPECT_EQ(client.Generate(invalid).code, absl::StatusCode::kInvalidArgument);
  invalid = IdsRequest(SomePrompt(5), 5);
  invalid.set_model("other");
  EXPECT_EQ(client.Generate(invalid).code, absl::StatusCode::kNotFound);

  const Scrape scrape = measured.Read();
  constexpr int kGenerated = 55 + 3 * 7, kPrompt = 550 + 30;
  EXPECT_EQ(scrape.at(Finished("length")), 11);
  EXPECT_EQ(scrape.at(Rejected("invalid")), 2);
  EXPECT_EQ(scrape.at("winnow_prompt_tokens_total"), kPrompt);
  EXPECT_EQ(scrape.at("winnow_generated_tokens_total"), kGenerated);
  EXPECT_EQ(scrape.at("winnow_request_prompt_tokens_sum"), kPrompt);
  EXPECT_EQ(scrape.at("winnow_request_generated_tokens_sum"), kGenerated);
  EXPECT_EQ(scrape.at("winnow_request_generated_tokens_count"), 11);
  for (const char* name : {"queue", "prefill", "time_to_first_token", "decode", "request"}) {
    EXPECT_EQ(scrape.at(absl::StrCat("winnow_", name, "_seconds_count")), 11) << name;
    EXPECT_EQ(scrape.at(absl::StrCat("winnow_", name, "_seconds_bucket{le=\"+Inf\"}")), 11) << name;
  }
  EXPECT_EQ(scrape.at("winnow_inter_token_seconds_count"), kGenerated - 10 - 3);
  // The last token of each choice is sampled, but never computed.
  EXPECT_EQ(scrape.at("winnow_step_tokens_sum"), kPrompt + kGenerated - 10 - 3);
  EXPECT_EQ(scrape.at("winnow_step_tokens_count"), scrape.at("winnow_steps_total"));
  EXPECT_EQ(scrape.at("winnow_kept_tokens_count{layer=\"1\"}"), 2 * (10 + 3)) << "two heads";
  EXPECT_EQ(scrape.at("winnow_requests_running"), 0);
  EXPECT_EQ(scrape.at("winnow_slots_used"), 0);
  EXPECT_EQ(scrape.at("winnow_slots_capacity"), 8);
}

TEST(MetricsTest, RunningWaitingAndCancelled) {
  Options options = TestOptions();
  options.max_sequences = 1;
  options.max_waiting = 1;
  MeasuredServer measured(options);
  measured.server.model().HoldSteps();
  Client client(measured.server.address());
  const auto running = client.Start(IdsRequest(SomePrompt(5), 100));
  measured.server.model().WaitUntilHeld();
  const auto waiting = client.Start(IdsRequest(SomePrompt(7), 100));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 1; }));
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(5), 1)).code,
            absl::StatusCode::kResourceExhausted);
  // While a step is held: a scrape does not wait for the engine.
  Scrape scrape = measured.Read();
  EXPECT_EQ(scrape.at("winnow_requests_running"), 1);
  EXPECT_EQ(scrape.at("winnow_requests_waiting"), 1);
  EXPECT_EQ(scrape.at("winnow_waiting_prompt_tokens"), 7);
  EXPECT_EQ(scrape.at("winnow_slots_reserved_ratio"), 1);
  EXPECT_EQ(scrape.at(Rejected("queue_full")), 1);
  LogCapture log;
  waiting->Cancel();
  running->Cancel();
  ASSERT_TRUE(WaitUntil([&] { return log.Count(": CANCELLED") == 2; })) << "the engine is told";
  measured.server.model().Release();
  EXPECT_TRUE(WaitUntil([&] { return measured.Read().at(Finished("cancelled")) == 2; }));
  scrape = measured.Read();
  EXPECT_EQ(scrape.at("winnow_request_seconds_count"), 2);
  EXPECT_EQ(scrape.at("winnow_queue_seconds_count"), 1);
}

TEST(MetricsTest, Draining) {
  MeasuredServer measured;
  measured.server.model().HoldSteps();
  Client client(measured.server.address());
  const auto running = client.Start(IdsRequest(SomePrompt(5), 3));
  measured.server.model().WaitUntilHeld();
  EXPECT_EQ(measured.Read().at("winnow_draining"), 0);
  measured.server.server().AnnounceShutdown();
  EXPECT_EQ(measured.Read().at("winnow_draining"), 1);
  measured.server.model().Release();
  measured.server.server().Drain(absl::InfiniteFuture());
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(5), 3)).code, absl::StatusCode::kUnavailable);
  const Scrape scrape = measured.Read();
  EXPECT_EQ(scrape.at(Rejected("draining")), 1);
  EXPECT_EQ(scrape.at(Finished("length")), 1);
}

TEST(MetricsPortTest, AnswersMetricsAlone) {
  MeasuredServer measured;
  EXPECT_TRUE(HttpGet(measured.port->port(), "/metrics").ok());
  EXPECT_FALSE(HttpGet(measured.port->port(), "/").ok());
  EXPECT_FALSE(HttpGet(measured.port->port(), "/../etc/passwd").ok());
}

TEST(MetricsPortTest, PortInUseIsAnError) {
  MeasuredServer measured;
  const int taken = measured.port->port();
  const auto second = MetricsPort::Start(taken, measured.server.server().metrics());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("cannot listen on 0.0.0.0:", taken)));
}

}  // namespace
}  // namespace winnow
