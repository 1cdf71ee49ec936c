// How many tokens prompts and outputs have: a number, or one drawn for each request.
#ifndef WINNOW_CLIENT_LOAD_LENGTH_DISTRIBUTION_H_
#define WINNOW_CLIENT_LOAD_LENGTH_DISTRIBUTION_H_

#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/load/random.h"

namespace winnow::load {

inline constexpr int kMaxTokens = 1'000'000;  // of a prompt or an output

class LengthDistribution {
 public:
  // Always `tokens`, 1..kMaxTokens.
  explicit LengthDistribution(int tokens) : kind_(Uniform{tokens, tokens}) {}

  // "512"; "uniform:MIN,MAX", whole numbers from MIN to MAX, both included;
  // "lognormal:MEAN,STDDEV", the mean and standard deviation of the lengths themselves, rounded to
  // whole tokens and held within 1..kMaxTokens. The error names `flag`, its value and what is
  // allowed.
  static absl::StatusOr<LengthDistribution> Parse(absl::string_view flag, absl::string_view value);

  int Draw(Random* random) const;
  std::string ToString() const;  // as Parse reads it

 private:
  struct Uniform {
    int min, max;
  };
  struct Lognormal {
    double mean, stddev;
  };
  explicit LengthDistribution(std::variant<Uniform, Lognormal> kind) : kind_(kind) {}
  static absl::StatusOr<LengthDistribution> ParseUniform(absl::string_view numbers);
  static absl::StatusOr<LengthDistribution> ParseLognormal(absl::string_view numbers);

  std::variant<Uniform, Lognormal> kind_;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LENGTH_DISTRIBUTION_H_
