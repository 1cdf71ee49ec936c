#include "server/log.h"

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/request_log.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  void Start(LogFormat format, const std::string& level = "info") {
    StartLogTo(std::make_shared<spdlog::sinks::ostream_sink_mt>(text_), format, level);
  }
  // What was logged since the last call.
  std::string Take() {
    std::string text = text_.str();
    text_.str("");
    return text;
  }
  nlohmann::json TakeJson() {
    const std::string text = Take();
    EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line: " << text;
    return nlohmann::json::parse(text);
  }

  std::ostringstream text_;
};

RequestEnd SomeEnd() {
  RequestEnd end;
  end.request_id = "r-1";
  end.status = absl::OkStatus();
  end.tenant = "one";
  end.num_prompt_tokens = 5;
  end.total_time = absl::Milliseconds(3250);
  end.output = RequestEnd::Output{.num_tokens = 7,
                                  .reason = FinishReason::kStop,
                                  .queue_time = absl::Milliseconds(250),
                                  .prefill_time = absl::Seconds(1),
                                  .decode_time = absl::Seconds(2)};
  return end;
}

TEST_F(LogTest, TextLines) {
  Start(LogFormat::kText);
  spdlog::warn("a {}", "b");
  EXPECT_THAT(Take(), MatchesRegex("....-..-..T..:..:..\\.... warning a b\n"));
  LogRequestEnd(SomeEnd());
  EXPECT_THAT(Take(), HasSubstr(" info request r-1: OK; tenant one; 5 prompt tokens, 7 output "
                                "tokens, stop, queued 0.250 s, prompt 1.000 s, output 2.000 s\n"));
}

TEST_F(LogTest, TextOfARequestThatWasNotTaken) {
  Start(LogFormat::kText);
  RequestEnd end;
  end.request_id = "r-2";
  end.status = absl::InvalidArgumentError("a\nb");
  LogRequestEnd(end);
  EXPECT_THAT(Take(), HasSubstr("request r-2: INVALID_ARGUMENT: a\\nb; 0 prompt tokens\n"));
}

TEST_F(LogTest, JsonLines) {
  Start(LogFormat::kJson);
  spdlog::warn("say \"{}\"\n\xff", "b");
  const nlohmann::json line = TakeJson();
  EXPECT_EQ(line.size(), 3u);
  EXPECT_THAT(line["time"].get<std::string>(), MatchesRegex("....-..-..T..:..:..\\....Z"));
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["message"], "say \"b\"\n\xef\xbf\xbd");
}

TEST_F(LogTest, JsonOfARequestHasFields) {
  Start(LogFormat::kJson);
  LogRequestEnd(SomeEnd());
  nlohmann::json line = TakeJson();
  line.erase("time");
  EXPECT_EQ(line, nlohmann::json({{"level", "info"},
                                  {"event", "request_end"},
                                  {"request_id", "r-1"},
                                  {"code", "OK"},
                                  {"tenant", "one"},
                                  {"prompt_tokens", 5},
                                  {"output_tokens", 7},
                                  {"finish_reason", "stop"},
                                  {"queue_seconds", 0.25},
                                  {"prefill_seconds", 1.0},
                                  {"decode_seconds", 2.0},
                                  {"request_seconds", 3.25}}));
}

TEST_F(LogTest, JsonOfARequestThatWasNotTaken) {
  Start(LogFormat::kJson);
  RequestEnd end;
  end.request_id = "r-2";
  end.status = absl::InvalidArgumentError("a\nb");
  LogRequestEnd(end);
  const nlohmann::json line = TakeJson();
  EXPECT_EQ(line["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(line["error"], "a\nb");
  EXPECT_FALSE(line.contains("output_tokens"));
  EXPECT_FALSE(line.contains("tenant"));
}

TEST_F(LogTest, LevelsHoldForEventsToo) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    Start(format, "warn");
    LogRequestEnd(SomeEnd());
    spdlog::info("no");
    EXPECT_EQ(Take(), "");
    spdlog::error("yes");
    EXPECT_THAT(Take(), HasSubstr("yes"));
  }
}

}  // namespace
}  // namespace winnow
