// What tests/golden holds of one model kind: a text and the published implementation's
// log-probabilities for it, from several recordings.
#ifndef WINNOW_TESTS_GOLDEN_RECORDINGS_H_
#define WINNOW_TESTS_GOLDEN_RECORDINGS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace winnow {

using LogprobRows = std::vector<std::vector<double>>;  // [position][token]

struct Golden {
  std::vector<uint32_t> tokens;
  std::map<std::string, LogprobRows> recordings;  // log-softmax of the recorded logits
};

// `kind`: a folder of tests/golden, such as "lte". CHECKs that it can be read.
Golden LoadGolden(const std::string& kind);

}  // namespace winnow

#endif  // WINNOW_TESTS_GOLDEN_RECORDINGS_H_
