// JsonFields: reads the fields of one JSON object by name; every field must be asked for.
//
//   JsonFields fields(json, "attn.");                          // messages say "attn.num_heads"
//   const int64_t heads = fields.Int("num_heads", 1, 4096);    // required
//   const bool bias = fields.Bool("qkv_bias", false);          // false when absent
//   fields.Ignore({"dropout_prob"});                           // known, means nothing here
//   if (absl::Status s = fields.Finish(); !s.ok()) return s;   // first error, or a field left over
//
// A wrong type, a value out of range or a required field that is missing is remembered (the first
// one wins) and the getter returns some value in range, so callers check ok() once, before they
// depend on values together. null counts as absent only where a function says so. Not thread-safe;
// the object must outlive the reader.
#ifndef WINNOW_MODEL_JSON_FIELDS_H_
#define WINNOW_MODEL_JSON_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace winnow {

class JsonFields {
 public:
  // `object` need not be one: then all of it is one error.
  JsonFields(const nlohmann::json& object, std::string prefix);

  // Whole numbers in [min, max]; 3.0 is not one.
  int64_t Int(std::string_view name, int64_t min, int64_t max);
  int64_t Int(std::string_view name, int64_t min, int64_t max, int64_t fallback);
  // None when absent or null.
  std::optional<int64_t> NullableInt(std::string_view name, int64_t min, int64_t max);
  // Between min_count and max_count whole numbers in [min, max].
  std::vector<int64_t> IntList(std::string_view name, int64_t min, int64_t max, size_t min_count,
                               size_t max_count);
  // Any number in (above, max].
  double Number(std::string_view name, double above, double max, double fallback);
  bool Bool(std::string_view name, bool fallback);
  // Index of the value in `allowed`, of `fallback` when absent.
  size_t Choice(std::string_view name, std::initializer_list<std::string_view> allowed,
                size_t fallback);
  std::string String(std::string_view name);

  // The raw value, marked as asked for; null when absent.
  const nlohmann::json* Find(std::string_view name);
  // As Find, and null for JSON's null.
  const nlohmann::json* FindNotNull(std::string_view name);

  // Marks fields as known that mean nothing here.
  void Ignore(absl::Span<const std::string_view> names);
  // If the field is there, its value must be this: any other one would mean something.
  void Expect(std::string_view name, const nlohmann::json& value);

  // Remembers an error "<prefix><name> is <value>: <why>".
  void Fail(std::string_view name, const std::string& why);
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  // The first error; else an error naming a field that nobody asked for.
  absl::Status Finish() const;

 private:
  // Whether the value is a whole number in [min, max]; fails if not.
  bool CheckInt(std::string_view name, const nlohmann::json& value, int64_t min, int64_t max);
  std::string PathOf(std::string_view name) const;
  void FailMissing(std::string_view name);

  const nlohmann::json& object_;
  const std::string prefix_;
  std::set<std::string, std::less<>> asked_;
  absl::Status status_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_JSON_FIELDS_H_
