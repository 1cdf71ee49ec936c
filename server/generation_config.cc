#include "server/generation_config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace winnow {
namespace {

constexpr char kFile[] = "generation_config.json";
constexpr char kField[] = "eos_token_id";
constexpr uintmax_t kMaxFileBytes = 1 << 20;

absl::Status BadField(const nlohmann::json& value) {
  return absl::InvalidArgumentError(
      absl::StrCat(kField, " is ", value.dump(), "; it must be a token id or a list of them"));
}

absl::Status AddId(const nlohmann::json& value, std::vector<uint32_t>* ids) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX) return BadField(value);
  ids->push_back(value.get<uint32_t>());
  return absl::OkStatus();
}

// The ids of the file, none without a file.
absl::StatusOr<std::vector<uint32_t>> LoadGenerationConfigEos(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return std::vector<uint32_t>();
  if (size > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", size, " bytes; at most ", kMaxFileBytes, " are read"));
  }
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::InvalidArgumentError("cannot be read");
  return ParseGenerationConfigEos(text.str());
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> ParseGenerationConfigEos(absl::string_view json) {
  const nlohmann::json root = nlohmann::json::parse(json.begin(), json.end(), nullptr,
                                                    /*allow_exceptions=*/false);
  if (!root.is_object()) return absl::InvalidArgumentError("is not a JSON object");
  std::vector<uint32_t> ids;
  const auto field = root.find(kField);
  if (field == root.end() || field->is_null()) return ids;
  if (!field->is_array()) {
    if (absl::Status status = AddId(*field, &ids); !status.ok()) return status;
    return ids;
  }
  for (const nlohmann::json& value : *field) {
    if (absl::Status status = AddId(value, &ids); !status.ok()) return status;
  }
  return ids;
}

absl::StatusOr<std::vector<uint32_t>> EosTokenIds(const std::string& directory,
                                                  const ModelConfig& config) {
  const std::string path = (std::filesystem::path(directory) / kFile).string();
  auto ids = LoadGenerationConfigEos(path);
  if (!ids.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", ids.status().message()));
  }
  for (const uint32_t id : *ids) {
    if (id >= config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", kField, " ", id, " is not below the vocabulary's size, ", config.vocab_size));
    }
  }
  ids->insert(ids->end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
  return ids;
}

}  // namespace winnow
