// For tests: everything that is logged while it exists.
#ifndef WINNOW_SERVER_TEST_LOG_H_
#define WINNOW_SERVER_TEST_LOG_H_

#include <memory>
#include <sstream>
#include <string>

#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace winnow {

// One at a time, and no other thread may log meanwhile.
class TestLog {
 public:
  TestLog() : old_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(text_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~TestLog() { spdlog::set_default_logger(old_); }

  // What was logged since the last call.
  std::string Take() {
    std::string text = text_.str();
    text_.str("");
    return text;
  }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> old_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_TEST_LOG_H_
