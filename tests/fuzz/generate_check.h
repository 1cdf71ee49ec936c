// What must hold of every answer to a Generate call that ended well.
#ifndef WINNOW_TESTS_FUZZ_GENERATE_CHECK_H_
#define WINNOW_TESTS_FUZZ_GENERATE_CHECK_H_

#include <string>
#include <vector>

#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

// CHECKs that the messages (serialized responses) fit together and fit the request, and that a
// greedy answer is the FakeModel's.
void CheckAnswer(const v1::GenerateRequest& request, const std::vector<std::string>& messages);

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_GENERATE_CHECK_H_
