#include "model/checkpoint_files.h"

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/json.h"
#include "model/json_fields.h"

namespace winnow {
namespace {

constexpr int64_t kMaxIndexBytes = 100'000'000;

using WeightMap = std::map<std::string, std::string>;

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// A name cannot lead out of the checkpoint's directory.
bool IsPlainFileName(const std::string& name) {
  return name.find('/') == std::string::npos && absl::EndsWith(name, ".safetensors") &&
         name.find('\0') == std::string::npos && !absl::StartsWith(name, ".");
}

// The shard holds what the index says, no more and no less.
absl::Status CheckShard(const SafetensorsFile& file, const std::string& shard,
                        const WeightMap& weight_map) {
  for (const auto& [tensor, entry] : file.entries()) {
    const auto it = weight_map.find(tensor);
    if (it == weight_map.end() || it->second != shard) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.path(), ": tensor ", JsonExcerpt(tensor), " is not in it according to the index, ",
          it == weight_map.end() ? "which does not know it" : "which has it in ",
          it == weight_map.end() ? "" : it->second));
    }
  }
  for (const auto& [tensor, where] : weight_map) {
    if (where == shard && !file.entries().contains(tensor)) {
      return absl::NotFoundError(absl::StrCat(file.path(), ": tensor ", JsonExcerpt(tensor),
                                              " is missing, though the index has it there"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WeightMap> ParseCheckpointIndex(std::string_view text) {
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(text);
  if (!json.ok()) return json.status();
  JsonFields fields(*json, "");
  fields.Ignore({"metadata"});
  const nlohmann::json* map = fields.Find("weight_map");
  if (map == nullptr || !map->is_object()) fields.Fail("weight_map", "must be an object");
  if (absl::Status all = fields.Finish(); !all.ok()) return all;

  WeightMap weight_map;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight_map[", JsonExcerpt(tensor), "] is ", JsonExcerpt(shard),
                       ": must be the plain name of a .safetensors file"));
    }
    weight_map.emplace(tensor, shard.get<std::string>());
  }
  return weight_map;
}

absl::StatusOr<CheckpointFiles> CheckpointFiles::Open(const std::string& directory) {
  const std::string single = absl::StrCat(directory, "/", kCheckpointFile);
  const std::string index = absl::StrCat(directory, "/", kCheckpointIndexFile);
  const bool sharded = Exists(index);
  if (sharded && Exists(single)) {
    return absl::InvalidArgumentError(absl::StrCat(directory, ": has both ", kCheckpointFile,
                                                   " and ", kCheckpointIndexFile,
                                                   "; remove the stale one"));
  }
  CheckpointFiles checkpoint;
  WeightMap weight_map;
  std::set<std::string> shards = {kCheckpointFile};
  if (sharded) {
    const absl::StatusOr<std::string> text = ReadFile(index, kMaxIndexBytes);
    if (!text.ok()) return text.status();
    absl::StatusOr<WeightMap> map = ParseCheckpointIndex(*text);
    if (!map.ok()) return AtPath(index, map.status());
    weight_map = *std::move(map);
    shards.clear();
    for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  }
  for (const std::string& shard : shards) {
    absl::StatusOr<SafetensorsFile> file =
        SafetensorsFile::Open(absl::StrCat(directory, "/", shard));
    if (!file.ok()) return file.status();
    if (sharded) {
      if (absl::Status held = CheckShard(*file, shard, weight_map); !held.ok()) return held;
    }
    checkpoint.entries_.insert(file->entries().begin(), file->entries().end());
    checkpoint.files_.push_back(*std::move(file));
  }
  return checkpoint;
}

}  // namespace winnow
