#include "server/yaml_mapping.h"

#include <yaml.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/check.h"

namespace winnow {
namespace {

// A parser, and the document that it read last. Marks count lines from 0.
class Parser {
 public:
  explicit Parser(absl::string_view text) {
    WINNOW_CHECK(yaml_parser_initialize(&parser_) == 1) << "no memory";
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Parser() {
    Forget();
    yaml_parser_delete(&parser_);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // The root of the next document; null: there is no other.
  absl::StatusOr<yaml_node_t*> Next() {
    Forget();
    if (yaml_parser_load(&parser_, &document_) != 1) {
      const std::string problem = parser_.problem == nullptr ? "is not YAML" : parser_.problem;
      return absl::InvalidArgumentError(absl::StrCat(parser_.problem_mark.line + 1, ": ", problem));
    }
    loaded_ = true;
    return yaml_document_get_root_node(&document_);
  }

  yaml_node_t* Node(int index) { return yaml_document_get_node(&document_, index); }

 private:
  void Forget() {
    if (std::exchange(loaded_, false)) yaml_document_delete(&document_);
  }

  yaml_parser_t parser_;
  yaml_document_t document_;
  bool loaded_ = false;
};

absl::Status At(const yaml_node_t& node, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(node.start_mark.line + 1, ": ", why));
}

std::string Text(const yaml_node_t& scalar) {
  return std::string(reinterpret_cast<const char*>(scalar.data.scalar.value),
                     scalar.data.scalar.length);
}

bool IsPlain(const yaml_node_t& scalar) {
  return scalar.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool IsNull(absl::string_view plain) {
  return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

void AddList(Parser& parser, const yaml_node_t& list, YamlEntry* entry) {
  entry->kind = YamlKind::kList;
  const auto& items = list.data.sequence.items;
  for (const yaml_node_item_t* item = items.start; item != items.top; ++item) {
    const yaml_node_t& node = *parser.Node(*item);
    if (node.type != YAML_SCALAR_NODE || (IsPlain(node) && IsNull(Text(node)))) {
      entry->kind = YamlKind::kComplex;
      entry->values.clear();
      return;
    }
    entry->values.push_back(Text(node));
  }
}

YamlEntry ToEntry(Parser& parser, const yaml_node_t& key, const yaml_node_t& value) {
  YamlEntry entry;
  entry.key = Text(key);
  entry.line = static_cast<int>(key.start_mark.line) + 1;
  switch (value.type) {
    case YAML_SCALAR_NODE:
      entry.kind = !IsPlain(value)       ? YamlKind::kQuoted
                   : IsNull(Text(value)) ? YamlKind::kNull
                                         : YamlKind::kPlain;
      if (entry.kind != YamlKind::kNull) entry.values.push_back(Text(value));
      break;
    case YAML_SEQUENCE_NODE:
      AddList(parser, value, &entry);
      break;
    default:
      entry.kind = YamlKind::kComplex;
  }
  return entry;
}

absl::StatusOr<std::vector<YamlEntry>> ToEntries(Parser& parser, const yaml_node_t& root) {
  std::vector<YamlEntry> entries;
  if (root.type == YAML_SCALAR_NODE && IsPlain(root) && IsNull(Text(root))) return entries;
  if (root.type != YAML_MAPPING_NODE) return At(root, "must be one mapping, like 'name: value'");
  const auto& pairs = root.data.mapping.pairs;
  for (const yaml_node_pair_t* pair = pairs.start; pair != pairs.top; ++pair) {
    const yaml_node_t& key = *parser.Node(pair->key);
    if (key.type != YAML_SCALAR_NODE) return At(key, "a name must be a text");
    const auto same = [&](const YamlEntry& entry) { return entry.key == Text(key); };
    const auto first = std::find_if(entries.begin(), entries.end(), same);
    if (first != entries.end()) {
      return At(key, absl::StrCat(Text(key), " was given on line ", first->line, " already"));
    }
    entries.push_back(ToEntry(parser, key, *parser.Node(pair->value)));
  }
  return entries;
}

// Whether YAML reads these characters, unquoted, as a text or number and nothing else.
bool IsSafePlain(absl::string_view text) {
  if (text.empty() || !(absl::ascii_isalnum(text[0]) || text[0] == '/' || text[0] == '.')) {
    return false;
  }
  const auto safe = [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("/._-:,+@", absl::string_view(&c, 1));
  };
  return std::all_of(text.begin(), text.end(), safe) && text.back() != ':' && !IsNull(text);
}

}  // namespace

absl::StatusOr<std::vector<YamlEntry>> ParseYamlMapping(absl::string_view text) {
  Parser parser(text);
  const absl::StatusOr<yaml_node_t*> root = parser.Next();
  if (!root.ok()) return root.status();
  if (*root == nullptr) return std::vector<YamlEntry>();
  auto entries = ToEntries(parser, **root);
  if (!entries.ok()) return entries.status();
  const absl::StatusOr<yaml_node_t*> second = parser.Next();
  if (!second.ok()) return second.status();
  if (*second != nullptr) return At(**second, "a second document begins");
  return entries;
}

std::string YamlScalar(absl::string_view text) {
  if (IsSafePlain(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", absl::string_view(&c, 1));
    } else if (absl::ascii_iscntrl(c)) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace winnow
