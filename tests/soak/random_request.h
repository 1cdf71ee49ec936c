// Random requests for the demo model: valid ones with any of the options there are, and ones with
// one thing wrong.
#ifndef WINNOW_TESTS_SOAK_RANDOM_REQUEST_H_
#define WINNOW_TESTS_SOAK_RANDOM_REQUEST_H_

#include <string>

#include "grpcpp/support/status.h"
#include "proto/winnow/v1/generation.pb.h"
#include "tests/soak/random.h"

namespace winnow::soak {

// A prompt of 1 to 600 words or ids, at most 4 choices of at most 64 tokens.
v1::GenerateRequest RandomRequest(Random& random);

// Nothing but its length ends it: runs until it is cancelled or late.
void MakeEndless(v1::GenerateRequest* request);

struct MalformedRequest {
  std::string bytes;
  grpc::StatusCode refusal = grpc::StatusCode::INVALID_ARGUMENT;
};
MalformedRequest RandomMalformedRequest(Random& random);

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_RANDOM_REQUEST_H_
