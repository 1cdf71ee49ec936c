#include "server/log.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/stubs/logging.h"
#include "spdlog/formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

constexpr char kLogger[] = "winnow";
// Its messages are JSON objects, whose members belong to the line's. It exists in that format only.
constexpr char kEventsLogger[] = "winnow-events";

std::string Dump(const nlohmann::ordered_json& json) {
  // Names of files may be any bytes: what is no UTF-8 becomes U+FFFD.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    const absl::string_view payload(message.payload.data(), message.payload.size());
    const auto level = spdlog::level::to_string_view(message.level);
    nlohmann::ordered_json head = {
        {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(message.time),
                                  absl::UTCTimeZone())},
        {"level", std::string(level.data(), level.size())}};
    const absl::string_view name(message.logger_name.data(), message.logger_name.size());
    if (name != kEventsLogger) head["message"] = std::string(payload);
    std::string text = Dump(head);
    if (name == kEventsLogger) {
      text.back() = ',';
      text.append(payload.begin() + 1, payload.end());
    }
    text.push_back('\n');
    line.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

void StartLogTo(std::shared_ptr<spdlog::sinks::sink> sink, LogFormat format,
                const std::string& level) {
  spdlog::drop(kEventsLogger);
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(kLogger, sink));
  if (format == LogFormat::kJson) {
    sink->set_formatter(std::make_unique<JsonFormatter>());
    spdlog::register_logger(std::make_shared<spdlog::logger>(kEventsLogger, std::move(sink)));
  } else {
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  }
  spdlog::set_level(spdlog::level::from_str(level));
}

void StartLog(LogFormat format, const std::string& level) {
  StartLogTo(std::make_shared<spdlog::sinks::stderr_sink_mt>(), format, level);
  // It writes a line for every string that is no UTF-8: clients must not fill the log.
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
        spdlog::debug("protobuf: {}", message);
      });
}

void LogEvent(const std::function<std::string()>& text,
              const std::function<nlohmann::ordered_json()>& fields) {
  if (!spdlog::should_log(spdlog::level::info)) return;
  if (const auto events = spdlog::get(kEventsLogger); events != nullptr) {
    events->info("{}", Dump(fields()));
  } else {
    spdlog::info("{}", text());
  }
}

}  // namespace winnow
