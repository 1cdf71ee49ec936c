// CallPlan: what one call of the soak asks and does, and how it may end. Drawn at random, the same
// for the same seed and index.
//
// Of a hundred calls twenty are cancelled or lose their connection, five have a deadline that
// cannot be met, five read slowly, one is malformed; the rest are read to the end.
#ifndef WINNOW_TESTS_SOAK_CALL_PLAN_H_
#define WINNOW_TESTS_SOAK_CALL_PLAN_H_

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "grpcpp/support/status.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow::soak {

enum class Behaviour {
  kReads,         // to the end
  kCancels,       // at some moment
  kVanishes,      // its connection breaks at some moment
  kDeadline,      // much too short for what is asked
  kPauses,        // stops reading for a moment; the answer fits the server's buffer
  kStopsReading,  // of a long answer, until the server has most likely given it up
  kMalformed,
};
inline constexpr int kNumBehaviours = 7;
const char* Name(Behaviour behaviour);

// Output tokens that the server must be ready to buffer for a stream, so that no call but one that
// stops reading can overflow it: --stream_buffer_tokens.
inline constexpr int kMostOutputTokens = 4 * 64;

struct CallPlan {
  Behaviour behaviour = Behaviour::kReads;
  v1::GenerateRequest request;
  std::string bytes;  // the request on the wire; for some malformed ones no request at all
  // The moment to cancel, vanish or pause: after so many messages, or `delay` after the start. A
  // pause lasts `delay`.
  std::optional<int> after_messages;
  absl::Duration delay;
  std::optional<absl::Duration> timeout;
  grpc::StatusCode refusal = grpc::StatusCode::OK;  // of a malformed one
};
std::ostream& operator<<(std::ostream& out, const CallPlan& plan);

CallPlan DrawCallPlan(uint64_t seed, uint64_t index);

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_CALL_PLAN_H_
