// End-of-text tokens: from config.json and, where there is one, generation_config.json beside it.
//
// Of generation_config.json only eos_token_id is read: what a request does not say is answered by
// the wire contract's own defaults, the same for every model.
#ifndef WINNOW_SERVER_GENERATION_CONFIG_H_
#define WINNOW_SERVER_GENERATION_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/config.h"

namespace winnow {

// eos_token_id of the text of a generation_config.json: one id, a list, null or absent.
// INVALID_ARGUMENT names the field.
absl::StatusOr<std::vector<uint32_t>> ParseGenerationConfigEos(absl::string_view json);

// Both files' ids, sorted, each below the vocabulary's size. Errors name the file.
absl::StatusOr<std::vector<uint32_t>> EosTokenIds(const std::string& directory,
                                                  const ModelConfig& config);

}  // namespace winnow

#endif  // WINNOW_SERVER_GENERATION_CONFIG_H_
