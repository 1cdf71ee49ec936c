#include "model/json_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/json.h"

namespace winnow {

using Json = nlohmann::json;

JsonFields::JsonFields(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  const std::string name = prefix_.empty() ? "the document" : prefix_.substr(0, prefix_.size() - 1);
  status_ = absl::InvalidArgumentError(
      absl::StrCat(name, " is ", JsonExcerpt(object), ": must be an object"));
}

std::string JsonFields::PathOf(std::string_view name) const { return prefix_ + std::string(name); }

const Json* JsonFields::Find(std::string_view name) {
  asked_.emplace(name);
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(name);
  return it == object_.end() ? nullptr : &*it;
}

const Json* JsonFields::FindNotNull(std::string_view name) {
  const Json* value = Find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonFields::Fail(std::string_view name, const std::string& why) {
  if (!status_.ok()) return;
  const Json* value = Find(name);
  const std::string what = value == nullptr ? "missing" : JsonExcerpt(*value);
  status_ = absl::InvalidArgumentError(absl::StrCat(PathOf(name), " is ", what, ": ", why));
}

void JsonFields::FailMissing(std::string_view name) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(PathOf(name) + " is missing");
}

bool JsonFields::CheckInt(std::string_view name, const Json& value, int64_t min, int64_t max) {
  const bool fits =
      value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : value.is_number_integer();
  if (fits && min <= value.get<int64_t>() && value.get<int64_t>() <= max) return true;
  Fail(name, absl::StrCat("must be a whole number in ", min, "..", max));
  return false;
}

int64_t JsonFields::Int(std::string_view name, int64_t min, int64_t max) {
  const Json* value = Find(name);
  if (value == nullptr) {
    FailMissing(name);
    return min;
  }
  return CheckInt(name, *value, min, max) ? value->get<int64_t>() : min;
}

int64_t JsonFields::Int(std::string_view name, int64_t min, int64_t max, int64_t fallback) {
  return Find(name) == nullptr ? fallback : Int(name, min, max);
}

std::optional<int64_t> JsonFields::NullableInt(std::string_view name, int64_t min, int64_t max) {
  if (FindNotNull(name) == nullptr) return std::nullopt;
  return Int(name, min, max);
}

std::vector<int64_t> JsonFields::IntList(std::string_view name, int64_t min, int64_t max,
                                         size_t min_count, size_t max_count) {
  const Json* value = Find(name);
  if (value == nullptr) {
    FailMissing(name);
    return {};
  }
  if (!value->is_array() || value->size() < min_count || value->size() > max_count) {
    Fail(name, absl::StrCat("must be a list of ", min_count, "..", max_count, " numbers"));
    return {};
  }
  std::vector<int64_t> list;
  for (const Json& item : *value) {
    if (!CheckInt(name, item, min, max)) return {};
    list.push_back(item.get<int64_t>());
  }
  return list;
}

double JsonFields::Number(std::string_view name, double above, double max, double fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (above < number && number <= max) return number;
  Fail(name, absl::StrCat("must be a number above ", above, " and at most ", max));
  return max;
}

bool JsonFields::Bool(std::string_view name, bool fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fail(name, "must be true or false");
    return fallback;
  }
  return value->get<bool>();
}

std::string JsonFields::String(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr) {
    FailMissing(name);
    return {};
  }
  if (!value->is_string()) {
    Fail(name, "must be a string");
    return {};
  }
  return value->get<std::string>();
}

size_t JsonFields::Choice(std::string_view name, std::initializer_list<std::string_view> allowed,
                          size_t fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  for (size_t i = 0; i < allowed.size(); ++i) {
    if (*value == Json(std::string(allowed.begin()[i]))) return i;
  }
  const std::string names = absl::StrJoin(allowed, ", ", [](std::string* out, std::string_view s) {
    absl::StrAppend(out, "\"", std::string(s), "\"");
  });
  Fail(name, absl::StrCat("must be one of ", names));
  return fallback;
}

void JsonFields::Ignore(absl::Span<const std::string_view> names) {
  for (const std::string_view name : names) asked_.emplace(name);
}

void JsonFields::Expect(std::string_view name, const Json& value) {
  const Json* found = Find(name);
  if (found != nullptr && *found != value) {
    Fail(name, absl::StrCat("only ", JsonExcerpt(value), " is supported"));
  }
}

absl::Status JsonFields::Finish() const {
  if (!status_.ok()) return status_;
  for (const auto& [name, value] : object_.items()) {
    if (asked_.contains(name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("unknown field ", JsonExcerpt(PathOf(name)), " (value ", JsonExcerpt(value),
                     "): refused, because it may change what the model computes"));
  }
  return absl::OkStatus();
}

}  // namespace winnow
