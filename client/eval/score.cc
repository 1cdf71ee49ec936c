#include "client/eval/score.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace winnow::eval {
namespace {

Score ScoreAgainst(absl::string_view answer, const std::string& code) {
  size_t right = 0;
  for (size_t i = 0; i < std::min(code.size(), answer.size()); ++i) right += answer[i] == code[i];
  const bool longer = answer.size() > code.size() && absl::ascii_isdigit(answer[code.size()]);
  return {.exact = right == code.size() && !longer,
          .digits = static_cast<double>(right) / static_cast<double>(code.size())};
}

}  // namespace

Score ScoreAnswer(absl::string_view answer, const std::vector<std::string>& codes) {
  answer = absl::StripLeadingAsciiWhitespace(answer);
  Score best;
  for (const std::string& code : codes) {
    const Score score = ScoreAgainst(answer, code);
    best = {.exact = best.exact || score.exact, .digits = std::max(best.digits, score.digits)};
  }
  return best;
}

Interval Wilson95(double share, int64_t n) {
  if (n == 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5% of a normal distribution lie below
  const double trials = static_cast<double>(n), z2 = kZ * kZ / trials;
  const double centre = (share + z2 / 2) / (1 + z2);
  const double half = kZ / (1 + z2) * std::sqrt(share * (1 - share) / trials + z2 / trials / 4);
  return {.low = std::max(0.0, centre - half), .high = std::min(1.0, centre + half)};
}

Interval Gap95(const Measured& a, const Measured& b) {
  const Interval of_a = Wilson95(a.share, a.n), of_b = Wilson95(b.share, b.n);
  const double gap = a.share - b.share;
  return {.low = gap - std::hypot(a.share - of_a.low, of_b.high - b.share),
          .high = gap + std::hypot(of_a.high - a.share, b.share - of_b.low)};
}

}  // namespace winnow::eval
