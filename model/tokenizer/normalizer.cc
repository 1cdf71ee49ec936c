#include "model/tokenizer/normalizer.h"

#include <utility>
#include <vector>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using NormalizerOr = absl::StatusOr<std::unique_ptr<const Normalizer>>;

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  absl::Status Apply(NormalizedText* text) const override {
    WINNOW_ASSIGN_OR_RETURN(text->text, Normalize(form_, text->text));
    return absl::OkStatus();
  }

 private:
  const NormalForm form_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::Status Apply(NormalizedText* text) const override {
    if (!text->text.empty()) text->text.insert(0, prefix_);
    return absl::OkStatus();
  }

 private:
  const std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Apply(NormalizedText* text) const override {
    const std::string_view source = text->text;
    std::vector<MatchSpan> spans;
    WINNOW_RETURN_IF_ERROR(pattern_.regex.Cut(source, &spans));
    std::string result;
    for (const MatchSpan& span : spans) {
      const std::string_view piece = source.substr(span.begin, span.end - span.begin);
      result.append(span.is_match ? std::string_view(content_) : piece);
      // What replaces a match counts as coming from the match's last character.
      if (span.is_match && span.begin == 0 && (content_.empty() || CountUtf8(piece) != 1)) {
        text->at_start = text->at_start && piece.empty();
      }
    }
    text->text = std::move(result);
    return absl::OkStatus();
  }

 private:
  const Pattern pattern_;
  const std::string content_;
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  absl::Status Apply(NormalizedText* text) const override {
    const std::string_view source = text->text;
    size_t begin = 0;
    size_t end = 0;  // after the last character that is no white space
    bool leading = left_;
    for (size_t i = 0; i < source.size();) {
      const Utf8Char c = DecodeUtf8(source, i);
      i += c.num_bytes;
      if (!IsWhitespace(c.code)) {
        leading = false;
        end = i;
      } else if (leading) {
        begin = i;
      }
    }
    if (!right_) end = source.size();
    if (begin > 0) text->at_start = false;
    text->text = begin < end ? std::string(source.substr(begin, end - begin)) : std::string();
    return absl::OkStatus();
  }

 private:
  const bool left_;
  const bool right_;
};

class Lowercase : public Normalizer {
 public:
  absl::Status Apply(NormalizedText* text) const override {
    std::string result;
    for (size_t i = 0; i < text->text.size();) {
      const Utf8Char c = DecodeUtf8(text->text, i);
      AppendLowercase(c.code, &result);
      i += c.num_bytes;
    }
    text->text = std::move(result);
    return absl::OkStatus();
  }
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<const Normalizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Apply(NormalizedText* text) const override {
    for (const auto& step : steps_) WINNOW_RETURN_IF_ERROR(step->Apply(text));
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<const Normalizer>> steps_;
};

NormalizerOr LoadSequence(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(std::vector<JsonObject> items, object->ObjectArray("normalizers"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  std::vector<std::unique_ptr<const Normalizer>> steps;
  for (JsonObject& item : items) {
    WINNOW_ASSIGN_OR_RETURN(auto step, LoadNormalizer(std::move(item)));
    steps.push_back(std::move(step));
  }
  return std::make_unique<NormalizerSequence>(std::move(steps));
}

NormalizerOr LoadReplace(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(object, "pattern"));
  WINNOW_ASSIGN_OR_RETURN(std::string content, object->String("content"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

NormalizerOr LoadStrip(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const bool left, object->Bool("strip_left"));
  WINNOW_ASSIGN_OR_RETURN(const bool right, object->Bool("strip_right"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  return std::make_unique<Strip>(left, right);
}

}  // namespace

NormalizerOr LoadNormalizer(JsonObject object) {
  static constexpr std::pair<std::string_view, NormalForm> kForms[] = {{"NFC", NormalForm::kNfc},
                                                                       {"NFD", NormalForm::kNfd},
                                                                       {"NFKC", NormalForm::kNfkc},
                                                                       {"NFKD", NormalForm::kNfkd}};
  WINNOW_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return LoadSequence(&object);
  if (type == "Replace") return LoadReplace(&object);
  if (type == "Strip") return LoadStrip(&object);
  if (type == "Prepend") {
    WINNOW_ASSIGN_OR_RETURN(std::string prefix, object.String("prepend"));
    WINNOW_RETURN_IF_ERROR(object.Close());
    return std::make_unique<Prepend>(std::move(prefix));
  }
  if (type == "Lowercase") {
    WINNOW_RETURN_IF_ERROR(object.Close());
    return std::make_unique<Lowercase>();
  }
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    WINNOW_RETURN_IF_ERROR(object.Close());
    return std::make_unique<UnicodeForm>(form);
  }
  return object.Error("type", "unsupported normalizer \"", type, "\"");
}

}  // namespace winnow
