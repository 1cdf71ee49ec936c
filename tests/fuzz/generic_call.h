// A gRPC call with any bytes as its message.
#ifndef WINNOW_TESTS_FUZZ_GENERIC_CALL_H_
#define WINNOW_TESTS_FUZZ_GENERIC_CALL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"

namespace winnow {

struct GenericOutcome {
  grpc::Status status;
  std::vector<std::string> messages;
};

// Sends one message and reads until the end. Cancels once `cancel_after` messages have been read.
GenericOutcome RunGenericCall(const std::shared_ptr<grpc::Channel>& channel,
                              const std::string& method, const std::string& request,
                              std::optional<size_t> cancel_after);

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_GENERIC_CALL_H_
