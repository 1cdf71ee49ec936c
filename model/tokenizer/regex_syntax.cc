#include "model/tokenizer/regex_syntax.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "model/tokenizer/concat.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

// White_Space and its complement, as the inside of a class.
constexpr std::string_view kSpaceSet =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";
constexpr std::string_view kNotSpaceSet =
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";
// Oniguruma counts the superscripts and fractions of Latin-1 among the word characters.
constexpr std::string_view kWordSet =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

constexpr std::string_view kCategories[] = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

constexpr size_t kNone = std::string::npos;

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    if (Skip("(?i)")) out_ = "(?i)";
    while (pos_ < in_.size()) {
      if (absl::Status status = Next(); !status.ok()) return status;
    }
    if (!groups_.empty()) return Refuse(in_.size(), "a group that is not closed");
    return std::move(out_);
  }

 private:
  struct Group {
    size_t out_start;
    bool is_assertion;
  };
  // What an item in a class was, which decides what a '-' after it means.
  enum class ClassItem { kNothing, kChar, kSet, kRangeEnd };

  absl::Status Refuse(size_t at, std::string_view what) const {
    return absl::InvalidArgumentError(
        Concat("unsupported regular expression \"", in_, "\": ", what, " at byte ", at));
  }
  bool Skip(std::string_view text) {
    if (in_.substr(pos_, text.size()) != text) return false;
    pos_ += text.size();
    return true;
  }
  char Peek(size_t ahead = 0) const { return pos_ + ahead < in_.size() ? in_[pos_ + ahead] : '\0'; }

  void BeginAtom() { atom_ = out_.size(); }

  absl::Status Next() {
    const size_t start = pos_;
    switch (in_[pos_]) {
      case '\\':
        return Escape();
      case '[':
        return Class();
      case '(':
        return OpenGroup();
      case ')':
        if (groups_.empty()) return Refuse(start, "')' without '('");
        ++pos_;
        out_ += ')';
        atom_ = groups_.back().is_assertion ? kNone : groups_.back().out_start;
        groups_.pop_back();
        return absl::OkStatus();
      case '|':
      case '^':
      case '$':
        out_ += in_[pos_++];
        atom_ = kNone;
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
        return Repeat();
      case '{':
        return Interval();
      default:
        BeginAtom();
        CopyChar();
        return absl::OkStatus();
    }
  }

  void CopyChar() {
    const size_t num_bytes = DecodeUtf8(in_, pos_).num_bytes;
    out_.append(in_.substr(pos_, num_bytes));
    pos_ += num_bytes;
  }

  absl::Status OpenGroup() {
    static constexpr std::string_view kAssertions[] = {"(?=", "(?!", "(?<=", "(?<!"};
    static constexpr std::string_view kPlain[] = {"(?:", "(?>", "(?i:", "(?-i:"};
    const size_t start = pos_;
    const size_t out_start = out_.size();
    atom_ = kNone;
    for (const std::string_view open : kAssertions) {
      if (!Skip(open)) continue;
      out_ += open;
      groups_.push_back({out_start, true});
      return absl::OkStatus();
    }
    for (const std::string_view open : kPlain) {
      if (!Skip(open)) continue;
      out_ += open;
      groups_.push_back({out_start, false});
      return absl::OkStatus();
    }
    if (Peek(1) == '?' || Peek(1) == '*') return Refuse(start, "this kind of group");
    ++pos_;
    out_ += "(?:";
    groups_.push_back({out_start, false});
    return absl::OkStatus();
  }

  // * + ? with an optional '?' (lazy) or '+' (possessive), both as in PCRE2.
  absl::Status Repeat() {
    if (atom_ == kNone) return Refuse(pos_, "a repeat of nothing or of a repeat");
    out_ += in_[pos_++];
    if (Peek() == '?' || Peek() == '+') out_ += in_[pos_++];
    atom_ = kNone;
    return absl::OkStatus();
  }

  // {n} {n,} {n,m} {,m}; another '{' stands for itself.
  absl::Status Interval() {
    const size_t start = pos_;
    const size_t close = in_.find('}', pos_);
    const std::string_view body =
        close == kNone ? std::string_view() : in_.substr(pos_ + 1, close - pos_ - 1);
    const size_t comma = body.find(',');
    const std::string_view low = body.substr(0, comma);
    const std::string_view high = comma == kNone ? low : body.substr(comma + 1);
    if ((low.empty() && high.empty()) || !IsDigits(low) || !IsDigits(high)) {
      BeginAtom();
      out_ += "\\{";
      ++pos_;
      return absl::OkStatus();
    }
    if (atom_ == kNone) return Refuse(start, "a repeat of nothing or of a repeat");
    pos_ = close + 1;
    out_ += Concat("{", low.empty() ? "0" : low);
    if (comma != kNone) out_ += Concat(",", high);
    out_ += '}';
    if (Peek() == '?') {
      if (comma == kNone) return Refuse(pos_, "{n}?");
      out_ += in_[pos_++];
    } else if (Skip("+")) {
      out_.insert(atom_, "(?:");
      out_ += ")+";
    }
    atom_ = kNone;
    return absl::OkStatus();
  }

  static bool IsDigits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  }

  absl::Status Escape() {
    const size_t start = pos_;
    const char c = Peek(1);
    BeginAtom();
    switch (c) {
      case 's':
        out_ += Concat("[", kSpaceSet, "]");
        break;
      case 'S':
        out_ += Concat("[^", kSpaceSet, "]");
        break;
      case 'w':
        out_ += Concat("[", kWordSet, "]");
        break;
      case 'W':
        out_ += Concat("[^", kWordSet, "]");
        break;
      case 'A':
      case 'z':
        out_ += Concat("\\", std::string_view(&c, 1));
        atom_ = kNone;
        break;
      default: {
        absl::StatusOr<ClassItem> item = CommonEscape();
        return item.ok() ? absl::OkStatus() : item.status();
      }
    }
    pos_ = start + 2;
    return absl::OkStatus();
  }

  // The escapes that read the same inside a class and outside.
  absl::StatusOr<ClassItem> CommonEscape() {
    const size_t start = pos_;
    const char c = Peek(1);
    switch (c) {
      case 'd':
      case 'D':
        out_ += c == 'd' ? "\\p{Nd}" : "\\P{Nd}";
        pos_ += 2;
        return ClassItem::kSet;
      case 'p':
      case 'P':
        return Property();
      case 'v':
        out_ += "\\x0b";
        pos_ += 2;
        return ClassItem::kChar;
      case 'a':
      case 'e':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        out_.append(in_.substr(pos_, 2));
        pos_ += 2;
        return ClassItem::kChar;
      case 'x':
      case 'u':
        return CodePoint();
      default:
        break;
    }
    if (pos_ + 1 >= in_.size()) return Refuse(start, "a backslash at the end");
    if (absl::ascii_isalnum(c)) return Refuse(start, Concat("\\", in_.substr(start + 1, 1)));
    if (absl::ascii_isascii(c)) out_ += '\\';
    ++pos_;
    CopyChar();
    return ClassItem::kChar;
  }

  // \xHH, \x{H...} and \uHHHH.
  absl::StatusOr<ClassItem> CodePoint() {
    const size_t start = pos_;
    std::string_view digits = in_.substr(pos_ + 2, Peek(1) == 'x' ? 2 : 4);
    size_t end = pos_ + 2 + digits.size();
    const bool braces = Peek(1) == 'x' && Peek(2) == '{';
    if (braces) {
      const size_t close = in_.find('}', pos_);
      if (close == kNone) return Refuse(start, "\\x{ without }");
      digits = in_.substr(pos_ + 3, close - pos_ - 3);
      end = close + 1;
    } else if (digits.size() != (Peek(1) == 'x' ? 2u : 4u)) {
      return Refuse(start, "a short code point");
    }
    if (digits.empty() || digits.size() > 8 ||
        !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit)) {
      return Refuse(start, "a code point that is no hexadecimal number");
    }
    if (Peek(1) == 'x' && !braces && digits[0] >= '8') return Refuse(start, "a byte above 7f");
    out_ += Concat("\\x{", digits, "}");
    pos_ = end;
    return ClassItem::kChar;
  }

  absl::StatusOr<ClassItem> Property() {
    const size_t start = pos_;
    const size_t close = in_.find('}', pos_);
    if (Peek(2) != '{' || close == kNone) return Refuse(start, "\\p without {...}");
    std::string_view name = in_.substr(pos_ + 3, close - pos_ - 3);
    bool negated = Peek(1) == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    const bool letters = std::all_of(name.begin(), name.end(),
                                     [](char c) { return absl::ascii_isalpha(c) || c == '_'; });
    if (name.empty() || !letters) return Refuse(start, "this property");
    const std::optional<std::string_view> category = FindCategory(name);
    out_ += Concat(negated ? "\\P{" : "\\p{",
                   category.has_value() ? "" : "sc:", category.value_or(name), "}");
    pos_ = close + 1;
    return ClassItem::kSet;
  }

  static std::optional<std::string_view> FindCategory(std::string_view name) {
    static constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {
        {"letter", "L"}, {"mark", "M"},      {"number", "N"}, {"punctuation", "P"},
        {"symbol", "S"}, {"separator", "Z"}, {"other", "C"}};
    const std::string lower = absl::AsciiStrToLower(std::string(name));
    for (const auto& [long_name, category] : kLongNames) {
      if (lower == long_name) return category;
    }
    for (const std::string_view category : kCategories) {
      if (lower == absl::AsciiStrToLower(std::string(category))) return category;
    }
    return std::nullopt;
  }

  absl::Status Class() {
    const size_t start = pos_;
    BeginAtom();
    out_ += in_[pos_++];
    if (Peek() == '^') out_ += in_[pos_++];
    ClassItem previous = ClassItem::kNothing;
    if (Peek() == ']') return Refuse(pos_, "']' first in a class");
    while (Peek() != ']') {
      if (pos_ >= in_.size()) return Refuse(start, "a class that is not closed");
      absl::StatusOr<ClassItem> item = NextInClass(previous);
      if (!item.ok()) return item.status();
      previous = *item;
    }
    out_ += in_[pos_++];
    return absl::OkStatus();
  }

  absl::StatusOr<ClassItem> NextInClass(ClassItem previous) {
    const size_t start = pos_;
    if (Peek() == '[') return Refuse(start, "a class within a class");
    if (Peek() == '&' && Peek(1) == '&') return Refuse(start, "&& in a class");
    if (Peek() != '-') return ClassAtom();
    ++pos_;
    if (previous == ClassItem::kNothing || Peek() == ']') {
      out_ += "\\-";
      return ClassItem::kChar;
    }
    out_ += '-';
    if (previous != ClassItem::kChar || Peek() == '-' || Peek() == '[') {
      return Refuse(start, "this '-' in a class");
    }
    if (pos_ >= in_.size()) return Refuse(start, "a class that is not closed");
    absl::StatusOr<ClassItem> end = ClassAtom();
    if (!end.ok()) return end.status();
    if (*end != ClassItem::kChar) return Refuse(start, "this '-' in a class");
    return ClassItem::kRangeEnd;
  }

  absl::StatusOr<ClassItem> ClassAtom() {
    if (Peek() != '\\') {
      if (absl::ascii_ispunct(Peek())) out_ += '\\';
      CopyChar();
      return ClassItem::kChar;
    }
    const char c = Peek(1);
    if (c != 's' && c != 'S' && c != 'w') return CommonEscape();
    out_ += c == 's' ? kSpaceSet : c == 'S' ? kNotSpaceSet : kWordSet;
    pos_ += 2;
    return ClassItem::kSet;
  }

  std::string_view in_;
  size_t pos_ = 0;
  std::string out_;
  size_t atom_ = kNone;  // where in out_ the last thing begins that may be repeated
  std::vector<Group> groups_;
};

}  // namespace

absl::StatusOr<std::string> TranslateRegex(std::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace winnow
