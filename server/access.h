// Access: who may call, by the bearer tokens of the auth file, read again while the server runs.
//
//   auto access = Access::Load("tenants.json", absl::Now);
//   auto tenant = (*access)->Authorize({"Bearer Zk3v0T9yqX7wLr2a"}, Rpc::kGenerate);
//
// A new state of the file that cannot be read or is not valid changes nothing and is logged, once
// for each state. A valid one holds from the next call on: tenants are told apart by their names,
// those that stay keep what they have in use, and calls of one that has gone end as they would
// have. The file's states are told apart by their bytes' hash.
//
// How long Authorize takes says nothing about the tokens: they are compared as hashes, all of them,
// in constant time each. Authorize may be called from any thread, Poll from one at a time.
#ifndef WINNOW_SERVER_ACCESS_H_
#define WINNOW_SERVER_ACCESS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/auth_file.h"
#include "server/tenant.h"

namespace winnow {

class Access {
 public:
  // The error names the file. `clock` is the one of the limits.
  static absl::StatusOr<std::unique_ptr<Access>> Load(std::string path, Clock clock);

  void Poll();

  // Whose call this is, by the values of its metadata "authorization". UNAUTHENTICATED unless there
  // is one, of the form "Bearer TOKEN" with a known token; PERMISSION_DENIED if its tenant may not
  // call this RPC.
  absl::StatusOr<std::shared_ptr<Tenant>> Authorize(absl::Span<const absl::string_view> values,
                                                    Rpc rpc) const;

 private:
  struct Entry {
    TokenHash token;
    std::shared_ptr<Tenant> tenant;
  };
  using Table = std::vector<Entry>;

  Access(std::string path, Clock clock) : path_(std::move(path)), clock_(std::move(clock)) {}

  absl::Status Read();  // the file, and makes its state the current one
  void Use(const std::vector<TenantConfig>& configs);
  std::shared_ptr<Tenant> Find(absl::string_view token) const;

  const std::string path_;
  const Clock clock_;

  // Poll's.
  TokenHash last_read_ = {};  // the hash of the whole file
  std::string last_warning_;
  std::map<std::string, std::shared_ptr<Tenant>> tenants_;  // by name

  mutable std::mutex mu_;
  std::shared_ptr<const Table> table_;  // guarded by mu_
};

}  // namespace winnow

#endif  // WINNOW_SERVER_ACCESS_H_
