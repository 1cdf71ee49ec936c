#include "model/json.h"

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

// Sees a document go by. Remembers the first key that its object already had, and whether it nests
// too deep.
class Watcher {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    too_deep_ = too_deep_ || depth > kMaxJsonDepth;
    if (event == Json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second && !duplicate_.has_value()) duplicate_ = key;
    }
    return true;
  }
  bool too_deep() const { return too_deep_; }
  const std::optional<std::string>& duplicate() const { return duplicate_; }

 private:
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  bool too_deep_ = false;
  std::optional<std::string> duplicate_;
};

}  // namespace

absl::StatusOr<Json> ParseStrictJson(std::string_view text) {
  // The parser would take a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON: NUL at byte ", nul));
  }
  Watcher watcher;
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), std::ref(watcher));
  } catch (const Json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON: ", ReadableMessage(e)));
  }
  if (watcher.too_deep()) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON nested deeper than ", kMaxJsonDepth, " levels"));
  }
  if (watcher.duplicate().has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key ", JsonExcerpt(*watcher.duplicate()), " stands twice in one object"));
  }
  return json;
}

std::string ReadableMessage(const Json::exception& e) {
  constexpr size_t kMaxBytes = 200;
  std::string message = e.what();
  if (message.size() > kMaxBytes) message = message.substr(0, kMaxBytes - 3) + "...";
  for (char& c : message) {
    if (c < ' ' || c > '~') c = '?';
  }
  return message;
}

std::string JsonExcerpt(const Json& value) {
  constexpr size_t kMaxBytes = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes - 3) + "...";
  return text;
}

}  // namespace winnow
