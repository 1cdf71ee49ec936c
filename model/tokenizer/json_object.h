// Reads the objects of a JSON file field by field, so that every error names the field's path and
// every field that nobody asked for is an error: a file is understood in full or refused.
//
//   absl::StatusOr<JsonObject> split = JsonObject::From(json, "pre_tokenizer");
//   absl::StatusOr<bool> invert = split->Bool("invert");
//   ...
//   absl::Status status = split->Close();  // any field left?
//
// Views into a document that must outlive the object. Not thread-safe.
#ifndef WINNOW_MODEL_TOKENIZER_JSON_OBJECT_H_
#define WINNOW_MODEL_TOKENIZER_JSON_OBJECT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/concat.h"

namespace winnow {

// Parses a document. InvalidArgument for what is not JSON or not UTF-8, for an object with the same
// key twice, and for nesting deeper than 32 levels.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text);

class JsonObject {
 public:
  // InvalidArgument unless `json` is an object. `path` names it in messages.
  static absl::StatusOr<JsonObject> From(const nlohmann::json& json, std::string path);

  const std::string& path() const { return path_; }

  // The field; nullptr when absent or null.
  const nlohmann::json* Find(std::string_view key);
  // The field, which must be there and not null.
  absl::StatusOr<const nlohmann::json*> Get(std::string_view key);

  absl::StatusOr<std::string> String(std::string_view key);
  absl::StatusOr<bool> Bool(std::string_view key);
  absl::StatusOr<uint32_t> Uint32(std::string_view key);
  absl::StatusOr<JsonObject> Object(std::string_view key);
  // The items of an array, each with its path.
  absl::StatusOr<std::vector<JsonObject>> ObjectArray(std::string_view key);
  // Absent or null gives nothing.
  absl::StatusOr<std::optional<std::string>> OptionalString(std::string_view key);
  absl::StatusOr<std::optional<bool>> OptionalBool(std::string_view key);

  // Marks fields that mean nothing here as known.
  void Ignore(std::initializer_list<std::string_view> keys);

  // InvalidArgument naming the fields that nobody asked for.
  absl::Status Close() const;

  // "<path>.<key>", and an InvalidArgument error that begins with it; the message may come in parts
  // (see concat.h).
  std::string PathOf(std::string_view key) const;
  template <typename... Parts>
  absl::Status Error(std::string_view key, const Parts&... message) const {
    return absl::InvalidArgumentError(Concat(PathOf(key), ": ", message...));
  }

 private:
  JsonObject(const nlohmann::json* json, std::string path) : json_(json), path_(std::move(path)) {}

  const nlohmann::json* json_;
  std::string path_;
  std::set<std::string, std::less<>> seen_;
};

// A value for a message: JSON, shortened.
std::string DescribeJson(const nlohmann::json& json);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_JSON_OBJECT_H_
