// Progress: one line on a terminal's standard error that says how far a stage is.
#ifndef WINNOW_CLIENT_LOAD_PROGRESS_H_
#define WINNOW_CLIENT_LOAD_PROGRESS_H_

#include <string>

#include "client/load/stage_runner.h"

namespace winnow::load {

// "rate 4   [#####.....]  50%  120/240 sent, 100 ended, 0 failed, 20 open, 12 s"; without a known
// end no bar.
std::string ProgressLine(const std::string& level, const StageProgress& progress);

// Not thread-safe. Shows nothing unless `shown`.
class Progress {
 public:
  explicit Progress(bool shown) : shown_(shown) {}

  void Begin(const std::string& level) { level_ = level; }
  void Show(const StageProgress& progress);
  void End();  // clears the line

 private:
  const bool shown_;
  std::string level_;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_PROGRESS_H_
