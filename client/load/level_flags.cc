#include "client/load/level_flags.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace winnow::load {
namespace {

bool ParseOneRate(absl::string_view text, double* rate) {
  return absl::SimpleAtod(text, rate) && *rate >= kMinRate && *rate <= kMaxRate;
}

std::optional<double>* Find(Slos* slos, absl::string_view name) {
  if (name == "ttft") return &slos->ttft_ms;
  if (name == "tpot") return &slos->tpot_ms;
  if (name == "e2el") return &slos->e2el_ms;
  return nullptr;
}

}  // namespace

absl::StatusOr<RateRange> ParseRate(absl::string_view value) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(value, absl::MaxSplits("..", 1));
  const bool ramp = absl::StrContains(value, "..");
  RateRange rate;
  if (!ParseOneRate(parts.first, &rate.begin) ||
      !ParseOneRate(ramp ? parts.second : parts.first, &rate.end)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rate=", value, ": write requests per second from ", kMinRate, " to ",
                     absl::AlphaNum(static_cast<int64_t>(kMaxRate)), ", or a ramp like 1..20"));
  }
  return rate;
}

absl::StatusOr<Slos> ParseSlos(const std::vector<std::string>& values) {
  Slos slos;
  for (const std::string& value : values) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(value, absl::MaxSplits(':', 1));
    std::optional<double>* slo = Find(&slos, parts.first);
    double ms;
    if (slo == nullptr || !absl::SimpleAtod(parts.second, &ms) || !(ms > 0 && ms <= 1e9)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--slo=", value,
                       ": write ttft, tpot or e2el, a colon, and milliseconds above 0, up to "
                       "1000000000, like ttft:200"));
    }
    if (slo->has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--slo=", value, ": ", parts.first, " has a limit already; one is allowed"));
    }
    *slo = ms;
  }
  return slos;
}

}  // namespace winnow::load
