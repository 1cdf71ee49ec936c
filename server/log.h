// The process's log on stderr: lines for people, or a JSON object a line.
//
//   StartLog(LogFormat::kJson, "info");
//   spdlog::info("loading {}", path);   // {"time":"...","level":"info","message":"loading x"}
//   LogEvent([] { return "x ended"; }, [] { return nlohmann::ordered_json{{"event", "end"}}; });
//                                       // {"time":"...","level":"info","event":"end"}
//
// Everything here is thread-safe but StartLog, which belongs at the start.
#ifndef WINNOW_SERVER_LOG_H_
#define WINNOW_SERVER_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "nlohmann/json.hpp"
#include "spdlog/sinks/sink.h"

namespace winnow {

enum class LogFormat : uint8_t { kText, kJson };

// `level` is the least one that is logged: debug, info, warn, error or off. Once.
void StartLog(LogFormat format, const std::string& level);
// The same into another sink, and any number of times; for tests.
void StartLogTo(std::shared_ptr<spdlog::sinks::sink> sink, LogFormat format,
                const std::string& level);

// One line at level info: the text, or the fields as members of the line's object. Only the one
// that is wanted is made, and none below that level.
void LogEvent(const std::function<std::string()>& text,
              const std::function<nlohmann::ordered_json()>& fields);

}  // namespace winnow

#endif  // WINNOW_SERVER_LOG_H_
