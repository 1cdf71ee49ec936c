// The server process as Debian's Prometheus sees it, under load: what its HTTP API answers is what
// the clients counted.
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/child_server.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/harness.h"
#include "tests/e2e/http_get.h"
#include "tests/e2e/programs.h"

namespace winnow {
namespace {

constexpr char kServer[] = "server/winnow-server";
constexpr uint32_t kForever = 1'000'000'000;

struct MeasuredProcess {
  std::unique_ptr<ChildServer> server;
  int metrics_port = 0;
};

// Another program may take the free port first.
MeasuredProcess StartServer() {
  for (int attempt = 1;; ++attempt) {
    const int port = FreePort();
    auto server = ChildServer::Start(kServer,
                                     {"--model=deploy/demo-model", "--state_memory=64MiB",
                                      "--shutdown_delay=0", absl::StrCat("--metrics_port=", port)},
                                     absl::Seconds(60));
    if (server.ok()) return {*std::move(server), port};
    WINNOW_CHECK(attempt < 5) << server.status();
  }
}

// What one of several clients saw.
struct Seen {
  int64_t finished = 0, prompt_tokens = 0, output_tokens = 0;
};

Seen RunLoad(const std::string& address, int seed) {
  Client client(address);
  Seen seen;
  for (int i = 0; i < 8; ++i) {
    const Outcome outcome = client.Generate(IdsRequest(SomePrompt(20 + 7 * i, seed), 5 + i));
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    ++seen.finished;
    seen.prompt_tokens += outcome.Prompt().num_prompt_tokens();
    seen.output_tokens += static_cast<int64_t>(outcome.TokenIds().size());
  }
  return seen;
}

Seen RunClients(const std::string& address, int num_clients) {
  std::vector<Seen> seen(num_clients);
  std::vector<std::thread> clients;
  for (int i = 0; i < num_clients; ++i) {
    clients.emplace_back([&, i] { seen[i] = RunLoad(address, i + 1); });
  }
  for (std::thread& client : clients) client.join();
  Seen sum;
  for (const Seen& one : seen) {
    sum.finished += one.finished;
    sum.prompt_tokens += one.prompt_tokens;
    sum.output_tokens += one.output_tokens;
  }
  return sum;
}

// A Prometheus that scrapes one server five times a second.
class Prometheus {
 public:
  explicit Prometheus(int metrics_port) : port_(FreePort()) {
    const std::string dir = testing::TempDir();
    const std::string config = absl::StrCat(dir, "/prometheus.yml");
    std::ofstream(config) << "global: {scrape_interval: 200ms}\n"
                          << "scrape_configs:\n- job_name: winnow\n  static_configs:\n"
                          << "  - targets: ['127.0.0.1:" << metrics_port << "']\n";
    program_.emplace(
        std::vector<std::string>{"prometheus", absl::StrCat("--config.file=", config),
                                 absl::StrCat("--storage.tsdb.path=", dir, "/tsdb"),
                                 absl::StrCat("--web.listen-address=127.0.0.1:", port_)},
        log_);
    if (!WaitUntil([&] { return HttpGet(port_, "/-/ready").ok(); })) {
      ADD_FAILURE() << "prometheus is not ready; its log:\n" << Log();
    }
  }

  // The one value of a query; none: there is no sample.
  std::optional<double> Query(const std::string& query) const {
    const auto body = HttpGet(port_, absl::StrCat("/api/v1/query?query=", Escaped(query)));
    WINNOW_CHECK(body.ok()) << query << ": " << body.status() << "\n" << Log();
    const auto result = nlohmann::json::parse(*body)["data"]["result"];
    if (result.empty()) return std::nullopt;
    WINNOW_CHECK(result.size() == 1) << query << ": " << *body;
    double value = 0;
    WINNOW_CHECK(absl::SimpleAtod(result[0]["value"][1].get<std::string>(), &value)) << *body;
    return value;
  }

  // Waits for scrapes until the query has this value.
  void Expect(const std::string& query, double value) const {
    EXPECT_TRUE(WaitUntil([&] { return Query(query) == value; }))
        << query << " is " << Query(query).value_or(-1) << ", not " << value;
  }

 private:
  // What a query has of characters that a URL cannot hold.
  static std::string Escaped(const std::string& query) {
    std::string escaped;
    for (const char c : query) {
      if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_') {
        escaped += c;
      } else {
        absl::StrAppendFormat(&escaped, "%%%02x", static_cast<unsigned char>(c));
      }
    }
    return escaped;
  }
  std::string Log() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const int port_;
  const std::string log_ = absl::StrCat(testing::TempDir(), "/prometheus.log");
  std::optional<BackgroundProgram> program_;
};

TEST(PrometheusTest, ValuesAreWhatClientsCounted) {
  if (const auto why = WhyMissing("prometheus"); why.has_value()) GTEST_SKIP() << *why;
  const MeasuredProcess measured = StartServer();
  const std::string& address = measured.server->address();
  const Prometheus prometheus(measured.metrics_port);
  prometheus.Expect("up{job='winnow'}", 1);

  Client client(address);
  const auto running = client.Start(IdsRequest(SomePrompt(10), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(running->Read(&message));
  prometheus.Expect("winnow_requests_running", 1);
  running->Cancel();
  running->Finish();
  prometheus.Expect("winnow_requests_finished_total{reason='cancelled'}", 1);
  const double generated_before = *prometheus.Query("winnow_generated_tokens_total");

  const Seen seen = RunClients(address, 4);
  v1::GenerateRequest invalid = IdsRequest(SomePrompt(5), 5);
  invalid.mutable_sampling()->set_top_p(7);
  for (int i = 0; i < 3; ++i) client.Generate(invalid);

  prometheus.Expect("winnow_requests_rejected_total{reason='invalid'}", 3);
  prometheus.Expect("winnow_requests_finished_total{reason='length'}", seen.finished);
  prometheus.Expect("sum(winnow_requests_finished_total)", seen.finished + 1);
  prometheus.Expect("sum(winnow_requests_rejected_total)", 3);
  prometheus.Expect("winnow_prompt_tokens_total", seen.prompt_tokens + 10);
  prometheus.Expect("winnow_generated_tokens_total", generated_before + seen.output_tokens);
  prometheus.Expect("winnow_request_generated_tokens_sum", generated_before + seen.output_tokens);
  prometheus.Expect("winnow_time_to_first_token_seconds_count", seen.finished + 1);
  prometheus.Expect("winnow_time_to_first_token_seconds_bucket{le='+Inf'}", seen.finished + 1);
  prometheus.Expect("winnow_requests_running + winnow_requests_waiting", 0);
  prometheus.Expect("winnow_slots_used", 0);
  prometheus.Expect("winnow_steps_total - winnow_step_seconds_count", 0);
  prometheus.Expect("winnow_model_info{model_name='demo-model', backend='cpu'}", 1);
  // As the dashboard asks.
  const auto p99 = prometheus.Query(
      "histogram_quantile(0.99, sum by (le) (rate(winnow_inter_token_seconds_bucket[1m])))");
  ASSERT_TRUE(p99.has_value());
  EXPECT_GT(*p99, 0);
  EXPECT_LT(*p99, 10);
  prometheus.Expect("min_over_time(up[1m])", 1);
}

}  // namespace
}  // namespace winnow
