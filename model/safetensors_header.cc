#include "model/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/json.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRank = 64;

// Takes the parser's events one by one; a member that returns false ends the parse with status().
class HeaderEvents : public nlohmann::json_sax<Json> {
 public:
  const absl::Status& status() const { return status_; }
  SafetensorsHeader header() && { return std::move(header_); }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a truth value"); }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is not whole");
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return Unexpected("a number");
    std::vector<uint64_t>& list = place_ == Place::kShape ? entry_->shape : offsets_;
    if (list.size() == (place_ == Place::kShape ? kMaxRank : 2))
      return Unexpected("one more number");
    list.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      *metadata_value_ = value;
    } else if (place_ == Place::kEntry && field_ == Field::kDtype) {
      entry_->dtype = value;
    } else {
      return Unexpected("a string");
    }
    return true;
  }

  bool key(string_t& name) override {
    switch (place_) {
      case Place::kHeader:
        return TopKey(name);
      case Place::kMetadata: {
        const auto [it, is_new] = header_.metadata.try_emplace(name);
        metadata_value_ = &it->second;
        return is_new || Fail(absl::StrCat("__metadata__ has ", JsonExcerpt(name), " twice"));
      }
      case Place::kEntry:
        return EntryKey(name);
      default:
        return Unexpected("a key");
    }
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kHeader;
    } else if (place_ == Place::kHeader) {
      place_ = entry_ == nullptr ? Place::kMetadata : Place::kEntry;
    } else {
      return Unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kEntry && !EndEntry()) return false;
    place_ = place_ == Place::kHeader ? Place::kOutside : Place::kHeader;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kEntry || field_ == Field::kDtype) return Unexpected("a list");
    place_ = field_ == Field::kShape ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::kEntry;
    return true;
  }

  bool parse_error(size_t, const std::string&, const Json::exception& e) override {
    return Fail("not valid JSON: " + ReadableMessage(e));
  }

 private:
  enum class Place { kOutside, kHeader, kMetadata, kEntry, kShape, kOffsets };
  enum class Field { kDtype, kShape, kOffsets };

  bool Fail(const std::string& message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError("header: " + message);
    return false;
  }
  bool Unexpected(const std::string& what) {
    return Fail(absl::StrCat("unexpected ", what, where_.empty() ? "" : " in ", where_));
  }

  // A tensor's name or __metadata__.
  bool TopKey(const std::string& name) {
    where_ = JsonExcerpt(name);
    entry_ = nullptr;
    if (name == "__metadata__") {
      if (std::exchange(has_metadata_, true)) return Fail("__metadata__ stands twice");
      return true;
    }
    const auto [it, is_new] = header_.tensors.try_emplace(name);
    entry_ = &it->second;
    offsets_.clear();
    has_dtype_ = has_shape_ = has_offsets_ = false;
    return is_new || Fail(absl::StrCat("tensor ", where_, " stands twice"));
  }

  bool EntryKey(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") {
      field_ = Field::kDtype, seen = &has_dtype_;
    } else if (name == "shape") {
      field_ = Field::kShape, seen = &has_shape_;
    } else if (name == "data_offsets") {
      field_ = Field::kOffsets, seen = &has_offsets_;
    } else {
      return Fail(absl::StrCat("tensor ", where_, " has an unknown field ", JsonExcerpt(name)));
    }
    if (*seen) return Fail(absl::StrCat("tensor ", where_, " has ", name, " twice"));
    *seen = true;
    return true;
  }

  bool EndEntry() {
    if (!has_dtype_ || !has_shape_ || offsets_.size() != 2) {
      return Fail(absl::StrCat("tensor ", where_, " lacks its ",
                               !has_dtype_   ? "dtype"
                               : !has_shape_ ? "shape"
                                             : "two data_offsets"));
    }
    entry_->begin = offsets_[0];
    entry_->end = offsets_[1];
    return true;
  }

  SafetensorsHeader header_;
  absl::Status status_;
  Place place_ = Place::kOutside;
  Field field_ = Field::kDtype;
  std::string where_;                        // the top key at work, for messages
  SafetensorsHeaderEntry* entry_ = nullptr;  // null: __metadata__
  std::string* metadata_value_ = nullptr;
  std::vector<uint64_t> offsets_;
  bool has_metadata_ = false;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json) {
  // The parser would take a NUL byte for the end of the header.
  if (const size_t nul = json.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("header: NUL at byte ", nul));
  }
  HeaderEvents events;
  const bool parsed = Json::sax_parse(json.begin(), json.end(), &events);
  if (!events.status().ok()) return events.status();
  if (!parsed) return absl::InvalidArgumentError("header: not valid JSON");
  return std::move(events).header();
}

}  // namespace winnow
