#include "client/eval/evidence_variants.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <system_error>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "client/connect.h"
#include "nlohmann/json.hpp"

namespace winnow::eval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFamily[] = {"lte", "gdn", "swa", "nsa", "attn"};
constexpr int64_t kBuffers[] = {8, 16, 32, 64, 128};

auto OrderOf(const Checkpoint& checkpoint) {
  const auto place = std::find(std::begin(kFamily), std::end(kFamily), checkpoint.name);
  return std::make_tuple(place - std::begin(kFamily), checkpoint.name);
}

// The size of a checkpoint's buffers of learned eviction; none if it has none.
absl::StatusOr<std::optional<int64_t>> BufferSize(const Checkpoint& checkpoint) {
  const std::string path = (fs::path(checkpoint.directory) / "config.json").string();
  const auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  const auto config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no JSON object"));
  }
  const auto attn = config.find("attn");
  if (attn == config.end() || !attn->is_object()) return std::nullopt;
  if (attn->value("attn_type", nlohmann::json()) != "lte") return std::nullopt;
  const auto size = attn->find("buffer_size");
  if (size != attn->end() && size->is_number_integer()) return size->get<int64_t>();
  return absl::InvalidArgumentError(absl::StrCat(path, ": attn has no buffer_size"));
}

void AddAblations(const Checkpoint& checkpoint, int64_t buffer_size,
                  std::vector<ServedVariant>* variants) {
  const auto add = [&](const std::string& suffix, const std::string& flag) {
    variants->push_back({.name = absl::StrCat(checkpoint.name, "-", suffix),
                         .directory = checkpoint.directory,
                         .flags = {flag},
                         .ablation = true});
  };
  for (const int64_t size : kBuffers) {
    if (size == buffer_size) continue;
    add(absl::StrCat("buffer", size), absl::StrCat("--experiment_buffer_size=", size));
  }
  add("window", "--experiment_buffer_size=0");
  add("recency", "--experiment_retention=recency");
  add("random", "--experiment_retention=random");
}

}  // namespace

absl::StatusOr<std::vector<Checkpoint>> FindCheckpoints(const std::string& directory) {
  std::vector<Checkpoint> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code ignored;
    if (!fs::exists(entry.path() / "config.json", ignored)) continue;
    found.push_back({entry.path().filename().string(), entry.path().string()});
  }
  if (error) return absl::NotFoundError(absl::StrCat(directory, ": ", error.message()));
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat(directory, ": no folder in it has a config.json"));
  }
  std::sort(found.begin(), found.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return OrderOf(a) < OrderOf(b); });
  return found;
}

absl::StatusOr<std::vector<ServedVariant>> VariantsOf(const std::vector<Checkpoint>& checkpoints) {
  std::vector<ServedVariant> variants, ablations;
  for (const Checkpoint& checkpoint : checkpoints) {
    const auto buffer_size = BufferSize(checkpoint);
    if (!buffer_size.ok()) return buffer_size.status();
    variants.push_back({.name = checkpoint.name, .directory = checkpoint.directory});
    if (buffer_size->has_value()) AddAblations(checkpoint, **buffer_size, &ablations);
  }
  variants.insert(variants.end(), ablations.begin(), ablations.end());
  return variants;
}

}  // namespace winnow::eval
