// LoadTarget: the servers under test as one thing to send requests to.
#ifndef WINNOW_CLIENT_LOAD_LOAD_TARGET_H_
#define WINNOW_CLIENT_LOAD_LOAD_TARGET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/load/load_options.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow::load {

// The service config in JSON: round robin among servers that are healthy, and with `retry_policy`
// up to 5 attempts for calls that end UNAVAILABLE.
std::string ServiceConfig(bool retry_policy);

class LoadTarget {
 public:
  // Connects at the first call. Errors: a file that cannot be read, a host without address.
  static absl::StatusOr<std::unique_ptr<LoadTarget>> Create(const LoadOptions& options);

  // The connections take turns.
  v1::GenerationService::Stub* NextStub() { return stubs_[next_++ % stubs_.size()].get(); }
  const std::string& authorization() const { return authorization_; }

  // What is served, from the first connection; waits for it for up to 10 s.
  absl::StatusOr<v1::GetModelInfoResponse> GetModelInfo(const std::string& model);

 private:
  LoadTarget() = default;

  std::string authorization_;
  std::vector<std::unique_ptr<v1::GenerationService::Stub>> stubs_;
  size_t next_ = 0;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LOAD_TARGET_H_
