#include "server/flag_set.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/units.h"

namespace winnow {
namespace {

constexpr char kAddressForms[] = "host:port, [IPv6]:port or unix:path";

std::function<std::optional<std::string>()> GetText(const std::string* value) {
  return [value]() -> std::optional<std::string> {
    if (value->empty()) return std::nullopt;
    return *value;
  };
}

// A flag whose values are read by `parse` and written by `format`. The value is a T, or an
// optional<T> where there need not be any.
template <typename T, typename Value, typename Format>
Flag ParsedFlag(const std::string& name, Value* value,
                std::function<absl::StatusOr<T>(const std::string&)> parse, Format format) {
  Flag flag;
  flag.name = name;
  flag.set = [=](const std::string& text) {
    const absl::StatusOr<T> parsed = parse(text);
    if (!parsed.ok()) return BadFlag(name, text, parsed.status().message());
    *value = *parsed;
    return absl::OkStatus();
  };
  flag.get = [=]() -> std::optional<std::string> {
    const std::optional<T> now = *value;
    if (!now.has_value()) return std::nullopt;
    return format(*now);
  };
  flag.default_text = flag.get().value_or("");
  return flag;
}

absl::Status MustBe(absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat("must be ", allowed));
}

// What is wrong with the text, and what is allowed.
absl::Status NotOne(const absl::Status& why, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(why.message(), "; must be ", allowed));
}

template <typename Value>
Flag IntegerFlag(const std::string& name, Value* value, int64_t min, int64_t max) {
  const std::string allowed = absl::StrCat("a whole number from ", min, " to ", max);
  const auto parse = [=](const std::string& text) -> absl::StatusOr<int64_t> {
    int64_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number < min || number > max) return MustBe(allowed);
    return number;
  };
  Flag flag =
      ParsedFlag<int64_t>(name, value, parse, [](int64_t number) { return absl::StrCat(number); });
  flag.kind = FlagKind::kNumber;
  flag.type_name = "N";
  flag.allowed = allowed;
  return flag;
}

template <typename Value>
Flag BytesFlag(const std::string& name, Value* value, int64_t min, int64_t max) {
  const std::string allowed = absl::StrCat("from ", FormatBytes(min), " to ", FormatBytes(max));
  const auto parse = [=](const std::string& text) -> absl::StatusOr<int64_t> {
    const absl::StatusOr<int64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return NotOne(bytes.status(), allowed);
    if (*bytes < min || *bytes > max) return MustBe(allowed);
    return bytes;
  };
  Flag flag = ParsedFlag<int64_t>(name, value, parse, FormatBytes);
  flag.type_name = "SIZE";
  flag.allowed = absl::StrCat("a size ", allowed);
  return flag;
}

template <typename Value>
Flag DurationFlag(const std::string& name, Value* value, absl::Duration min, absl::Duration max) {
  const std::string allowed =
      absl::StrCat("from ", absl::FormatDuration(min), " to ", absl::FormatDuration(max));
  const auto parse = [=](const std::string& text) -> absl::StatusOr<absl::Duration> {
    const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
    if (!duration.ok()) return NotOne(duration.status(), allowed);
    if (*duration < min || *duration > max) return MustBe(allowed);
    return duration;
  };
  Flag flag = ParsedFlag<absl::Duration>(name, value, parse, absl::FormatDuration);
  flag.type_name = "TIME";
  flag.allowed = absl::StrCat("a time ", allowed);
  return flag;
}

absl::Status CheckAddress(const std::string& flag, const std::string& address) {
  const absl::Status wrong = BadFlag(flag, address, absl::StrCat("must be ", kAddressForms));
  if (absl::StartsWith(address, "unix:")) {
    return address.size() > 5 ? absl::OkStatus() : wrong;
  }
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  const absl::string_view host = absl::string_view(address).substr(0, colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (!bracketed && host.find(':') != absl::string_view::npos) return wrong;
  int port = 0;
  if (!absl::SimpleAtoi(absl::string_view(address).substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return BadFlag(flag, address, "the port must be a whole number from 0 (any free one) to 65535");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BadFlag(absl::string_view flag, absl::string_view value, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": ", why));
}

void FlagSet::Add(Flag flag) {
  flag.group = group_;
  flags_.push_back(std::move(flag));
}

const Flag* FlagSet::Find(absl::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

void FlagSet::Text(const std::string& name, std::string* value, const std::string& help) {
  Flag flag;
  flag.name = name;
  flag.type_name = "TEXT";
  flag.help = help;
  flag.allowed = "a text";
  flag.default_text = *value;
  flag.set = [=](const std::string& text) {
    if (text.empty()) return BadFlag(name, text, "must not be empty");
    *value = text;
    return absl::OkStatus();
  };
  flag.get = GetText(value);
  Add(std::move(flag));
}

void FlagSet::Choice(const std::string& name, std::string* value,
                     const std::vector<std::string>& choices, const std::string& help) {
  const std::string all = absl::StrJoin(choices, ", ");
  Flag flag;
  flag.name = name;
  flag.type_name = "NAME";
  flag.help = absl::StrCat(help, ": ", all);
  flag.allowed = absl::StrCat("one of: ", all);
  flag.default_text = *value;
  flag.set = [=, allowed = flag.allowed](const std::string& text) {
    for (const std::string& choice : choices) {
      if (text != choice) continue;
      *value = text;
      return absl::OkStatus();
    }
    return BadFlag(name, text, absl::StrCat("must be ", allowed));
  };
  flag.get = GetText(value);
  Add(std::move(flag));
}

void FlagSet::Integer(const std::string& name, int64_t* value, int64_t min, int64_t max,
                      const std::string& help) {
  Flag flag = IntegerFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Integer(const std::string& name, std::optional<int64_t>* value, int64_t min,
                      int64_t max, const std::string& help) {
  Flag flag = IntegerFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Fraction(const std::string& name, double* value, const std::string& help) {
  const std::string allowed = "a number above 0 and at most 1";
  const auto parse = [=](const std::string& text) -> absl::StatusOr<double> {
    double fraction = 0;
    if (!absl::SimpleAtod(text, &fraction) || !(fraction > 0 && fraction <= 1)) {
      return MustBe(allowed);
    }
    return fraction;
  };
  Flag flag = ParsedFlag<double>(name, value, parse,
                                 [](double fraction) { return absl::StrCat(fraction); });
  flag.kind = FlagKind::kNumber;
  flag.type_name = "X";
  flag.help = help;
  flag.allowed = allowed;
  Add(std::move(flag));
}

void FlagSet::Bytes(const std::string& name, int64_t* value, int64_t min, int64_t max,
                    const std::string& help) {
  Flag flag = BytesFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Bytes(const std::string& name, std::optional<int64_t>* value, int64_t min,
                    int64_t max, const std::string& help) {
  Flag flag = BytesFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Duration(const std::string& name, absl::Duration* value, absl::Duration min,
                       absl::Duration max, const std::string& help) {
  Flag flag = DurationFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Duration(const std::string& name, std::optional<absl::Duration>* value,
                       absl::Duration min, absl::Duration max, const std::string& help) {
  Flag flag = DurationFlag(name, value, min, max);
  flag.help = help;
  Add(std::move(flag));
}

void FlagSet::Switch(const std::string& name, bool* value, const std::string& help) {
  Flag flag;
  flag.name = name;
  flag.kind = FlagKind::kSwitch;
  flag.help = help;
  flag.allowed = "true or false";
  flag.set = [=](const std::string& text) {
    if (text != "true" && text != "false") return BadFlag(name, text, "must be true or false");
    *value = text == "true";
    return absl::OkStatus();
  };
  flag.get = [value] { return std::optional<std::string>(*value ? "true" : "false"); };
  Add(std::move(flag));
}

void FlagSet::Address(const std::string& name, std::string* value, const std::string& help) {
  Flag flag;
  flag.name = name;
  flag.type_name = "ADDRESS";
  flag.help = help;
  flag.allowed = kAddressForms;
  flag.default_text = *value;
  flag.set = [=](const std::string& text) {
    absl::Status status = CheckAddress(name, text);
    if (status.ok()) *value = text;
    return status;
  };
  flag.get = GetText(value);
  Add(std::move(flag));
}

void FlagSet::Addresses(const std::string& name, std::vector<std::string>* value,
                        const std::string& help) {
  Flag flag;
  flag.name = name;
  flag.kind = FlagKind::kList;
  flag.type_name = "ADDRESS";
  flag.help = help;
  flag.allowed = absl::StrCat(kAddressForms, "; several with commas between them");
  flag.set = [=](const std::string& text) {
    std::vector<std::string> addresses = absl::StrSplit(text, ',');
    for (const std::string& address : addresses) {
      if (absl::Status status = CheckAddress(name, address); !status.ok()) return status;
    }
    *value = std::move(addresses);
    return absl::OkStatus();
  };
  flag.get = [value] { return std::optional<std::string>(absl::StrJoin(*value, ",")); };
  flag.default_text = *flag.get();
  Add(std::move(flag));
}

}  // namespace winnow
