#include "model/tokenizer/json_object.h"

#include <functional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "model/tokenizer/concat.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

// The loaders recurse into nested parts; real files nest six deep.
constexpr int kMaxDepth = 32;

// Sees a document go by: remembers the first key that its object already had, and whether it nests
// too deep.
class ParseWatcher {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    too_deep_ = too_deep_ || depth > kMaxDepth;
    if (event == Json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == Json::parse_event_t::key && !duplicate_.has_value()) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(key).second) duplicate_ = key;
    }
    return true;
  }
  const std::optional<std::string>& duplicate() const { return duplicate_; }
  bool too_deep() const { return too_deep_; }

 private:
  bool too_deep_ = false;
  std::vector<absl::flat_hash_set<std::string>> open_;
  std::optional<std::string> duplicate_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text) {
  ParseWatcher watcher;
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), std::ref(watcher));
  } catch (const Json::exception& e) {
    return absl::InvalidArgumentError(Concat("not valid JSON: ", e.what()));
  }
  if (watcher.too_deep()) {
    return absl::InvalidArgumentError(Concat("nested deeper than ", kMaxDepth, " levels"));
  }
  if (watcher.duplicate().has_value()) {
    return absl::InvalidArgumentError(
        Concat("an object has the key \"", *watcher.duplicate(), "\" twice"));
  }
  return json;
}

std::string DescribeJson(const Json& json) {
  std::string text = json.is_object()  ? "an object"
                     : json.is_array() ? "an array"
                                       : json.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

absl::StatusOr<JsonObject> JsonObject::From(const Json& json, std::string path) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        Concat(path, ": expected an object, not ", DescribeJson(json)));
  }
  return JsonObject(&json, std::move(path));
}

std::string JsonObject::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : Concat(path_, ".", key);
}

const Json* JsonObject::Find(std::string_view key) {
  seen_.emplace(key);
  const auto it = json_->find(key);
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<const Json*> JsonObject::Get(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return Error(key, "missing");
  return value;
}

absl::StatusOr<std::optional<std::string>> JsonObject::OptionalString(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) {
    return Error(key, "expected a string, not ", DescribeJson(*value));
  }
  return value->get<std::string>();
}

absl::StatusOr<std::string> JsonObject::String(std::string_view key) {
  absl::StatusOr<std::optional<std::string>> value = OptionalString(key);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return Error(key, "missing");
  return std::move(**value);
}

absl::StatusOr<std::optional<bool>> JsonObject::OptionalBool(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) {
    return Error(key, "expected true or false, not ", DescribeJson(*value));
  }
  return value->get<bool>();
}

absl::StatusOr<bool> JsonObject::Bool(std::string_view key) {
  absl::StatusOr<std::optional<bool>> value = OptionalBool(key);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return Error(key, "missing");
  return **value;
}

absl::StatusOr<uint32_t> JsonObject::Uint32(std::string_view key) {
  absl::StatusOr<const Json*> value = Get(key);
  if (!value.ok()) return value.status();
  if (!(*value)->is_number_unsigned() || (*value)->get<uint64_t>() > UINT32_MAX) {
    return Error(
        key, Concat("expected a number from 0 to ", UINT32_MAX, ", not ", DescribeJson(**value)));
  }
  return (*value)->get<uint32_t>();
}

absl::StatusOr<JsonObject> JsonObject::Object(std::string_view key) {
  absl::StatusOr<const Json*> value = Get(key);
  if (!value.ok()) return value.status();
  return From(**value, PathOf(key));
}

absl::StatusOr<std::vector<JsonObject>> JsonObject::ObjectArray(std::string_view key) {
  absl::StatusOr<const Json*> value = Get(key);
  if (!value.ok()) return value.status();
  if (!(*value)->is_array()) {
    return Error(key, "expected an array, not ", DescribeJson(**value));
  }
  std::vector<JsonObject> items;
  for (const Json& item : **value) {
    absl::StatusOr<JsonObject> object = From(item, Concat(PathOf(key), "[", items.size(), "]"));
    if (!object.ok()) return object.status();
    items.push_back(*std::move(object));
  }
  return items;
}

void JsonObject::Ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) seen_.emplace(key);
}

absl::Status JsonObject::Close() const {
  for (const auto& [key, value] : json_->items()) {
    if (!seen_.contains(key)) {
      return Error(key, "not a supported field (value ", DescribeJson(value), ")");
    }
  }
  return absl::OkStatus();
}

}  // namespace winnow
