// FlagSet: a program's flags, each with its type, range, help, and the variable that it sets;
// apart from where their values come from, which is the command line (options.h) or a file
// (config_file.h).
//
//   FlagSet flags;
//   flags.Group("Compute");
//   flags.Integer("threads", &options.threads, 1, 1024, "Compute threads");
//   absl::Status status = flags.Find("threads")->set("two");
//   // "--threads=two: must be a whole number from 1 to 1024"
//
// Variables must outlive the set. Not thread-safe.
#ifndef WINNOW_SERVER_FLAG_SET_H_
#define WINNOW_SERVER_FLAG_SET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace winnow {

enum class FlagKind : uint8_t {
  kText,    // anything that can be written in quotes
  kNumber,  // nothing that is
  kList,    // texts, separated by commas
  kSwitch,  // true or false; on the command line without a value
};

struct Flag {
  std::string name;  // without dashes
  FlagKind kind = FlagKind::kText;
  std::string group;
  std::string type_name;  // "N", "SIZE", ..., for help
  std::string help;
  std::string default_text;  // empty: none, or said in the help
  std::string allowed;       // "a whole number from 1 to 1024"

  // INVALID_ARGUMENT with flag, value and what is allowed. Switches take "true" and "false".
  std::function<absl::Status(const std::string& text)> set;
  // What `set` reads back as the same value; none: it has none.
  std::function<std::optional<std::string>()> get;
};

// "--flag=value: why".
absl::Status BadFlag(absl::string_view flag, absl::string_view value, absl::string_view why);

class FlagSet {
 public:
  // Of the flags that follow.
  void Group(std::string name) { group_ = std::move(name); }

  void Text(const std::string& name, std::string* value, const std::string& help);
  void Choice(const std::string& name, std::string* value, const std::vector<std::string>& choices,
              const std::string& help);
  void Integer(const std::string& name, int64_t* value, int64_t min, int64_t max,
               const std::string& help);
  void Integer(const std::string& name, std::optional<int64_t>* value, int64_t min, int64_t max,
               const std::string& help);
  // Above 0 and at most 1.
  void Fraction(const std::string& name, double* value, const std::string& help);
  void Bytes(const std::string& name, int64_t* value, int64_t min, int64_t max,
             const std::string& help);
  void Bytes(const std::string& name, std::optional<int64_t>* value, int64_t min, int64_t max,
             const std::string& help);
  void Duration(const std::string& name, absl::Duration* value, absl::Duration min,
                absl::Duration max, const std::string& help);
  void Duration(const std::string& name, std::optional<absl::Duration>* value, absl::Duration min,
                absl::Duration max, const std::string& help);
  void Switch(const std::string& name, bool* value, const std::string& help);
  // "host:port", "[IPv6]:port" or "unix:path".
  void Address(const std::string& name, std::string* value, const std::string& help);
  void Addresses(const std::string& name, std::vector<std::string>* value, const std::string& help);

  const std::vector<Flag>& flags() const { return flags_; }
  const Flag* Find(absl::string_view name) const;  // null: there is none

 private:
  void Add(Flag flag);

  std::vector<Flag> flags_;
  std::string group_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_FLAG_SET_H_
