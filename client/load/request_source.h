// RequestSource: the requests of a run, one after the other.
#ifndef WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_
#define WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_

#include <cstdint>

#include "proto/winnow/v1/generation.pb.h"

namespace winnow::load {

enum class Behaviour { kRead, kCancel, kReadSlowly };

struct PlannedRequest {
  int64_t number = 0;  // of the source's requests: its record has it too
  Behaviour behaviour = Behaviour::kRead;
  // Of kCancel: one of 1..half of the output tokens. The half leaves the server, which runs ahead
  // of what has been read, something to stop.
  uint32_t cancel_after_tokens = 0;
  v1::GenerateRequest request;
};

// Not thread-safe.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  virtual PlannedRequest Next() = 0;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REQUEST_SOURCE_H_
