// Who makes a gRPC call.
#ifndef WINNOW_SERVER_AUTHORIZE_H_
#define WINNOW_SERVER_AUTHORIZE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "server/access.h"

namespace winnow {

// As Access::Authorize, with the call's metadata; null, which stands for no limits, where `access`
// is null. Thread-safe.
absl::StatusOr<std::shared_ptr<Tenant>> Authorize(const Access* access,
                                                  const grpc::CallbackServerContext& context,
                                                  Rpc rpc);

}  // namespace winnow

#endif  // WINNOW_SERVER_AUTHORIZE_H_
