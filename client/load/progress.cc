#include "client/load/progress.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace winnow::load {
namespace {

constexpr int kBarWidth = 20;
constexpr char kClearLine[] = "\r\033[K";

}  // namespace

std::string ProgressLine(const std::string& level, const StageProgress& progress) {
  std::string text = level;
  if (progress.planned.has_value()) {
    const double share = static_cast<double>(progress.ended) /
                         static_cast<double>(std::max<int64_t>(1, *progress.planned));
    const auto filled = static_cast<size_t>(share * kBarWidth);
    absl::StrAppendFormat(&text, "  [%s%s] %3.0f%%", std::string(filled, '#'),
                          std::string(kBarWidth - filled, '.'), 100 * share);
  }
  absl::StrAppendFormat(&text, "  %d sent, %d ended, %d failed, %d open, %.0f s", progress.sent,
                        progress.ended, progress.failed, progress.in_flight, progress.seconds);
  return text;
}

void Progress::Show(const StageProgress& progress) {
  if (!shown_) return;
  std::fprintf(stderr, "%s%s", kClearLine, ProgressLine(level_, progress).c_str());
  std::fflush(stderr);
}

void Progress::End() {
  if (!shown_) return;
  std::fputs(kClearLine, stderr);
  std::fflush(stderr);
}

}  // namespace winnow::load
