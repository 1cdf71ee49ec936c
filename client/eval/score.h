// How right an answer is, and how sure a share of right ones is.
#ifndef WINNOW_CLIENT_EVAL_SCORE_H_
#define WINNOW_CLIENT_EVAL_SCORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace winnow::eval {

struct Score {
  bool exact = false;
  double digits = 0;  // share of the code's digits that stand at their places
};

// Of an answer like " 48213.": whitespace before it and what follows the code do not count, but for
// a further digit. With several right codes, against the one that it is closest to. REQUIRES: at
// least one code.
Score ScoreAnswer(absl::string_view answer, const std::vector<std::string>& codes);

struct Interval {
  double low = 0, high = 1;
};

// 95% confidence interval of a share that was measured in n independent trials, from its score
// (E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
// Assoc. 22, 1927). Without trials: all from 0 to 1.
Interval Wilson95(double share, int64_t n);

// A share that was measured in n independent trials.
struct Measured {
  double share = 0;
  int64_t n = 0;
};

// 95% confidence interval of a's share less b's, made of their Wilson intervals (R. G. Newcombe,
// Interval estimation for the difference between independent proportions, Statistics in Medicine
// 17, 1998, method 10). Rather too wide for two answers to the same questions, which go up and down
// together.
Interval Gap95(const Measured& a, const Measured& b);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_SCORE_H_
