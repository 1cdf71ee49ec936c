// A failed call in words and as JSON: code, message, and the google.rpc details that the server
// sent along.
#ifndef WINNOW_CLIENT_RPC_ERROR_H_
#define WINNOW_CLIENT_RPC_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace winnow {

struct RpcError {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;
  std::string details;  // serialized google.rpc.Status, or empty
};

// "INVALID_ARGUMENT: sampling.top_p is 2; ..." and a line for each detail that says more than the
// message.
std::string DescribeError(const RpcError& error);

// {"code": "INVALID_ARGUMENT", "message": ..., "details": [{"@type": ..., ...}]}
nlohmann::json ErrorToJson(const RpcError& error);

}  // namespace winnow

#endif  // WINNOW_CLIENT_RPC_ERROR_H_
