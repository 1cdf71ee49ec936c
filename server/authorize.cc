#include "server/authorize.h"

#include <vector>

namespace winnow {

absl::StatusOr<std::shared_ptr<Tenant>> Authorize(const Access* access,
                                                  const grpc::CallbackServerContext& context,
                                                  Rpc rpc) {
  if (access == nullptr) return std::shared_ptr<Tenant>();
  std::vector<absl::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return access->Authorize(values, rpc);
}

}  // namespace winnow
