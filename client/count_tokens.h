// How many tokens a server's tokenizer makes of a text.
#ifndef WINNOW_CLIENT_COUNT_TOKENS_H_
#define WINNOW_CLIENT_COUNT_TOKENS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow {

// Special tokens excluded. `authorization`: see ReadAuthorization in client/connect.h; empty: none.
// Blocks; errors are the call's.
absl::StatusOr<int64_t> CountTokens(v1::GenerationService::Stub* stub,
                                    const std::string& authorization, const std::string& text);

}  // namespace winnow

#endif  // WINNOW_CLIENT_COUNT_TOKENS_H_
