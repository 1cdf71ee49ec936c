// Random requests with every option in every mixture, and what it means that two answers are equal.
#ifndef WINNOW_TESTS_MODEL_MIXED_REQUESTS_H_
#define WINNOW_TESTS_MODEL_MIXED_REQUESTS_H_

#include <cstdint>
#include <random>

#include "scheduler/request.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {

// At most 200 prompt and 49 output tokens. Every third one asks for several choices.
RequestSpec MixedRequest(std::mt19937& random, uint32_t vocab);

// Every token, log-probability, rank and alternative to the bit, the ending and what was kept.
void ExpectSameAnswer(const Answer& a, const Answer& b);

}  // namespace winnow

#endif  // WINNOW_TESTS_MODEL_MIXED_REQUESTS_H_
