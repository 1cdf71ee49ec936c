#include "model/tokenizer/pre_tokenizer.h"

#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/concat.h"
#include "model/tokenizer/metaspace.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using PreTokenizerOr = absl::StatusOr<std::unique_ptr<const PreTokenizer>>;

// GPT-2's expression, which ByteLevel splits with when "use_regex" says so.
constexpr std::string_view kByteLevelRegex =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// Replaces each word by the pieces that `cut` leaves of it.
using CutWord = absl::FunctionRef<absl::Status(std::string_view, std::vector<MatchSpan>*)>;
absl::Status CutWords(SplitBehavior behavior, CutWord cut, WordList* list) {
  std::vector<WordSpan> words;
  std::vector<MatchSpan> spans;
  for (const WordSpan& word : list->words) {
    WINNOW_RETURN_IF_ERROR(cut(list->Word(word), &spans));
    ApplySplit(behavior, &spans);
    for (const MatchSpan& span : spans) {
      words.push_back(
          {word.begin + span.begin, word.begin + span.end, word.at_start && span.begin == 0});
    }
  }
  list->words = std::move(words);
  return absl::OkStatus();
}

// Rewrites each word's text. `rewrite` appends the new text, never empty.
void RewriteWords(absl::FunctionRef<void(const WordSpan&, std::string_view, std::string*)> rewrite,
                  WordList* list) {
  std::string text;
  text.reserve(list->text.size() + list->text.size() / 2);
  for (WordSpan& word : list->words) {
    const size_t begin = text.size();
    rewrite(word, list->Word(word), &text);
    word.begin = begin;
    word.end = text.size();
  }
  list->text = std::move(text);
}

class SplitAtPattern : public PreTokenizer {
 public:
  SplitAtPattern(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  absl::Status Apply(WordList* list) const override {
    const auto cut = [this](std::string_view word, std::vector<MatchSpan>* spans) {
      absl::Status status = regex_.Cut(word, spans);
      if (invert_) {
        for (MatchSpan& span : *spans) span.is_match = !span.is_match;
      }
      return status;
    };
    return CutWords(behavior_, cut, list);
  }

 private:
  const Regex regex_;
  const SplitBehavior behavior_;
  const bool invert_;
};

class SplitAtChars : public PreTokenizer {
 public:
  SplitAtChars(bool (*matches)(char32_t), SplitBehavior behavior)
      : matches_(matches), behavior_(behavior) {}

  absl::Status Apply(WordList* list) const override {
    const auto cut = [this](std::string_view word, std::vector<MatchSpan>* spans) {
      CutAtChars(word, matches_, spans);
      return absl::OkStatus();
    };
    return CutWords(behavior_, cut, list);
  }

 private:
  bool (*const matches_)(char32_t);
  const SplitBehavior behavior_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::optional<Regex> regex)
      : add_prefix_space_(add_prefix_space) {
    if (regex.has_value()) split_.emplace(*std::move(regex), SplitBehavior::kIsolated, false);
  }

  absl::Status Apply(WordList* list) const override {
    if (add_prefix_space_) {
      RewriteWords(
          [](const WordSpan&, std::string_view word, std::string* out) {
            if (word[0] != ' ') out->push_back(' ');
            out->append(word);
          },
          list);
    }
    if (split_.has_value()) WINNOW_RETURN_IF_ERROR(split_->Apply(list));
    RewriteWords([](const WordSpan&, std::string_view word,
                    std::string* out) { AppendByteChars(word, out); },
                 list);
    return absl::OkStatus();
  }

 private:
  const bool add_prefix_space_;
  std::optional<SplitAtPattern> split_;
};

class Metaspace : public PreTokenizer {
 public:
  Metaspace(MetaspaceOptions options, Regex regex)
      : options_(std::move(options)),
        split_(std::move(regex), SplitBehavior::kMergedWithNext, false) {}

  absl::Status Apply(WordList* list) const override {
    RewriteWords([this](const WordSpan& span, std::string_view word,
                        std::string* out) { Rewrite(span.at_start, word, out); },
                 list);
    return options_.split ? split_.Apply(list) : absl::OkStatus();
  }

 private:
  void Rewrite(bool at_start, std::string_view word, std::string* out) const {
    using Prepend = MetaspaceOptions::Prepend;
    const bool begins_with_space = word[0] == ' ' || word.starts_with(options_.replacement);
    const bool wanted =
        options_.prepend == Prepend::kAlways || (options_.prepend == Prepend::kFirst && at_start);
    if (wanted && !begins_with_space) out->append(options_.replacement);
    for (const char c : word) {
      if (c == ' ') {
        out->append(options_.replacement);
      } else {
        out->push_back(c);
      }
    }
  }

  const MetaspaceOptions options_;
  const SplitAtPattern split_;
};

// Words of \w, and of what is neither \w nor white space; white space goes.
class Whitespace : public PreTokenizer {
 public:
  absl::Status Apply(WordList* list) const override {
    std::vector<WordSpan> words;
    for (const WordSpan& word : list->words) Cut(list->Word(word), word, &words);
    list->words = std::move(words);
    return absl::OkStatus();
  }

 private:
  enum class Kind { kSpace, kWord, kOther };
  static Kind KindOf(char32_t c) {
    return IsWordCharacter(c) ? Kind::kWord : IsWhitespace(c) ? Kind::kSpace : Kind::kOther;
  }
  static void Cut(std::string_view text, const WordSpan& word, std::vector<WordSpan>* words) {
    Kind previous = Kind::kSpace;
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = DecodeUtf8(text, i);
      const Kind kind = KindOf(c.code);
      const size_t begin = word.begin + i;
      i += c.num_bytes;
      if (kind != Kind::kSpace) {
        if (kind != previous)
          words->push_back({begin, begin, word.at_start && begin == word.begin});
        words->back().end = word.begin + i;
      }
      previous = kind;
    }
  }
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<const PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Apply(WordList* list) const override {
    for (const auto& step : steps_) WINNOW_RETURN_IF_ERROR(step->Apply(list));
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

PreTokenizerOr LoadSequence(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(std::vector<JsonObject> items, object->ObjectArray("pretokenizers"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  for (JsonObject& item : items) {
    WINNOW_ASSIGN_OR_RETURN(auto step, LoadPreTokenizer(std::move(item)));
    steps.push_back(std::move(step));
  }
  return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

PreTokenizerOr LoadSplit(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(object, "pattern"));
  WINNOW_ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadSplitBehavior(object, "behavior"));
  WINNOW_ASSIGN_OR_RETURN(const bool invert, object->Bool("invert"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  return std::make_unique<SplitAtPattern>(std::move(pattern.regex), behavior, invert);
}

PreTokenizerOr LoadByteLevel(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const bool add_prefix_space, object->Bool("add_prefix_space"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> use_regex, object->OptionalBool("use_regex"));
  WINNOW_RETURN_IF_ERROR(object->OptionalBool("trim_offsets").status());  // offsets are not kept
  WINNOW_RETURN_IF_ERROR(object->Close());
  std::optional<Regex> regex;
  if (use_regex.value_or(true)) {
    WINNOW_ASSIGN_OR_RETURN(regex, Regex::Compile(kByteLevelRegex));
  }
  return std::make_unique<ByteLevel>(add_prefix_space, std::move(regex));
}

PreTokenizerOr LoadMetaspace(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(MetaspaceOptions options, ReadMetaspace(object));
  WINNOW_ASSIGN_OR_RETURN(Regex regex, Regex::CompileLiteral(options.replacement));
  return std::make_unique<Metaspace>(std::move(options), std::move(regex));
}

PreTokenizerOr LoadDigits(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const bool individual, object->Bool("individual_digits"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  return std::make_unique<SplitAtChars>(
      IsNumeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
}

PreTokenizerOr LoadPunctuation(JsonObject* object) {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  if (object->Find("behavior") != nullptr) {
    WINNOW_ASSIGN_OR_RETURN(behavior, ReadSplitBehavior(object, "behavior"));
  }
  WINNOW_RETURN_IF_ERROR(object->Close());
  return std::make_unique<SplitAtChars>(IsPunctuation, behavior);
}

}  // namespace

PreTokenizerOr LoadPreTokenizer(JsonObject object) {
  WINNOW_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return LoadSequence(&object);
  if (type == "Split") return LoadSplit(&object);
  if (type == "ByteLevel") return LoadByteLevel(&object);
  if (type == "Metaspace") return LoadMetaspace(&object);
  if (type == "Digits") return LoadDigits(&object);
  if (type == "Punctuation") return LoadPunctuation(&object);
  if (type == "WhitespaceSplit") {
    WINNOW_RETURN_IF_ERROR(object.Close());
    return std::make_unique<SplitAtChars>(IsWhitespace, SplitBehavior::kRemoved);
  }
  if (type == "Whitespace") {
    WINNOW_RETURN_IF_ERROR(object.Close());
    return std::make_unique<Whitespace>();
  }
  return object.Error("type", "unsupported pre-tokenizer \"", type, "\"");
}

}  // namespace winnow
