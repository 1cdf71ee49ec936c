#include "model/tokenizer/decoder_steps.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

// Clone() by copy.
template <typename Step>
class StepBase : public DecoderStep {
 public:
  std::unique_ptr<DecoderStep> Clone() const override {
    return std::make_unique<Step>(static_cast<const Step&>(*this));
  }
};

class JoinStep : public StepBase<JoinStep> {
 public:
  void Push(const TokenPiece& piece, Sink next) override {
    if (piece.begins && !first_) next({" ", true, true});
    first_ = false;
    next(piece);
  }
  void StartMidText() override { first_ = false; }

 private:
  bool first_ = true;
};

// Bytes that arrive one after another, handed out as characters. Holds at most three bytes.
class Utf8Assembler {
 public:
  // What stands for bytes that are no character: one U+FFFD for each maximal subpart, or for each
  // byte.
  enum class Broken { kPerSubpart, kPerByte };
  explicit Utf8Assembler(Broken broken) : broken_(broken) {}

  std::string Append(std::string_view bytes) {
    pending_ += bytes;
    std::string text;
    std::string_view rest = pending_;
    while (!rest.empty()) {
      const Utf8Step step = StepUtf8(rest);
      if (step.kind == Utf8Kind::kIncomplete) break;
      if (step.kind == Utf8Kind::kWhole) {
        text += rest.substr(0, step.num_bytes);
      } else {
        AppendReplacements(step.num_bytes, &text);
      }
      rest.remove_prefix(step.num_bytes);
    }
    pending_ = std::string(rest);
    return text;
  }

  // Nothing more comes.
  std::string Finish() {
    std::string text;
    if (!pending_.empty()) AppendReplacements(pending_.size(), &text);
    pending_.clear();
    return text;
  }

 private:
  void AppendReplacements(size_t num_bytes, std::string* text) const {
    const size_t count = broken_ == Broken::kPerByte ? num_bytes : 1;
    for (size_t i = 0; i < count; ++i) *text += kReplacementCharacter;
  }

  Broken broken_;
  std::string pending_;
};

class ByteLevelStep : public StepBase<ByteLevelStep> {
 public:
  void Push(const TokenPiece& piece, Sink next) override {
    const std::string text = assembler_.Append(ByteCharsToBytes(piece.text));
    next({text, std::exchange(begins_, false), false});
  }
  void Finish(Sink next) override {
    const std::string text = assembler_.Finish();
    next({text, std::exchange(begins_, false), true});
  }
  void StartMidText() override { begins_ = false; }

 private:
  bool begins_ = true;
  Utf8Assembler assembler_{Utf8Assembler::Broken::kPerSubpart};
};

class ByteFallbackStep : public StepBase<ByteFallbackStep> {
 public:
  void Push(const TokenPiece& piece, Sink next) override {
    const std::optional<char> byte = ReadByteToken(piece.text);
    if (byte.has_value()) {
      const std::string text = assembler_.Append({&*byte, 1});
      next({text, !in_run_, false});
      in_run_ = true;
    } else {
      Finish(next);
      next(piece);
    }
  }
  void Finish(Sink next) override {
    if (!in_run_) return;
    const std::string text = assembler_.Finish();
    next({text, false, true});
    in_run_ = false;
  }

 private:
  static std::optional<char> ReadByteToken(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>' ||
        !absl::ascii_isxdigit(token[3]) || !absl::ascii_isxdigit(token[4])) {
      return std::nullopt;
    }
    return static_cast<char>(std::stoi(std::string(token.substr(3, 2)), nullptr, 16));
  }

  bool in_run_ = false;
  Utf8Assembler assembler_{Utf8Assembler::Broken::kPerByte};
};

class FuseStep : public StepBase<FuseStep> {
 public:
  void Push(const TokenPiece& piece, Sink next) override {
    next({piece.text, std::exchange(begins_, false), false});
  }
  void Finish(Sink next) override { next({"", std::exchange(begins_, false), true}); }
  void StartMidText() override { begins_ = false; }

 private:
  bool begins_ = true;
};

class StripStep : public StepBase<StripStep> {
 public:
  StripStep(char32_t content, uint32_t start, uint32_t stop)
      : content_(content), start_(start), stop_(stop) {}

  void Push(const TokenPiece& piece, Sink next) override {
    if (piece.begins) num_to_strip_ = start_;
    std::string text;
    for (size_t i = 0; i < piece.text.size();) {
      const Utf8Char c = DecodeUtf8(piece.text, i);
      i += c.num_bytes;
      PushChar(c.code, &text);
    }
    if (piece.ends) num_held_ = 0;
    next({text, piece.begins, piece.ends});
  }

 private:
  void PushChar(char32_t c, std::string* text) {
    if (c != content_) {
      num_to_strip_ = 0;
      for (; num_held_ > 0; --num_held_) AppendUtf8(content_, text);
      AppendUtf8(c, text);
    } else if (num_to_strip_ > 0) {
      --num_to_strip_;
    } else if (num_held_ < stop_) {
      ++num_held_;  // perhaps the token ends here
    } else {
      AppendUtf8(content_, text);
    }
  }

  const char32_t content_;
  const uint32_t start_;
  const uint32_t stop_;
  uint32_t num_to_strip_ = 0;
  uint32_t num_held_ = 0;
};

// Finds the pattern with the Knuth-Morris-Pratt automaton, so that a token may come in pieces: of
// what was seen, only the length of the pattern's prefix that it ends with matters.
class ReplaceStep : public StepBase<ReplaceStep> {
 public:
  ReplaceStep(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)), border_(pattern_.size() + 1) {
    for (size_t i = 1, length = 0; i < pattern_.size(); ++i) {
      while (length > 0 && pattern_[i] != pattern_[length]) length = border_[length];
      if (pattern_[i] == pattern_[length]) ++length;
      border_[i + 1] = length;
    }
  }

  void Push(const TokenPiece& piece, Sink next) override {
    std::string text;
    for (const char c : piece.text) PushByte(c, &text);
    if (piece.ends) {
      text.append(pattern_, 0, num_matched_);
      num_matched_ = 0;
    }
    next({text, piece.begins, piece.ends});
  }

 private:
  void PushByte(char c, std::string* text) {
    while (num_matched_ > 0 && pattern_[num_matched_] != c) {
      text->append(pattern_, 0, num_matched_ - border_[num_matched_]);
      num_matched_ = border_[num_matched_];
    }
    if (pattern_[num_matched_] != c) {
      text->push_back(c);
    } else if (++num_matched_ == pattern_.size()) {
      *text += content_;
      num_matched_ = 0;
    }
  }

  const std::string pattern_;
  const std::string content_;
  std::vector<size_t>
      border_;  // [n]: longest proper prefix of the first n bytes that they end with
  size_t num_matched_ = 0;
};

class MetaspaceStep : public StepBase<MetaspaceStep> {
 public:
  explicit MetaspaceStep(const MetaspaceOptions& options)
      : replacement_(DecodeUtf8(options.replacement, 0).code),
        drop_in_first_(options.prepend != MetaspaceOptions::Prepend::kNever) {}

  void Push(const TokenPiece& piece, Sink next) override {
    std::string text;
    for (size_t i = 0; i < piece.text.size();) {
      const Utf8Char c = DecodeUtf8(piece.text, i);
      i += c.num_bytes;
      if (c.code != replacement_) {
        AppendUtf8(c.code, &text);
      } else if (!in_first_ || !drop_in_first_) {
        text.push_back(' ');
      }
    }
    if (piece.ends) in_first_ = false;
    next({text, piece.begins, piece.ends});
  }
  void StartMidText() override { in_first_ = false; }

 private:
  const char32_t replacement_;
  const bool drop_in_first_;
  bool in_first_ = true;
};

}  // namespace

std::unique_ptr<DecoderStep> MakeJoinStep() { return std::make_unique<JoinStep>(); }
std::unique_ptr<DecoderStep> MakeByteLevelStep() { return std::make_unique<ByteLevelStep>(); }
std::unique_ptr<DecoderStep> MakeByteFallbackStep() { return std::make_unique<ByteFallbackStep>(); }
std::unique_ptr<DecoderStep> MakeFuseStep() { return std::make_unique<FuseStep>(); }
std::unique_ptr<DecoderStep> MakeStripStep(char32_t content, uint32_t start, uint32_t stop) {
  return std::make_unique<StripStep>(content, start, stop);
}
std::unique_ptr<DecoderStep> MakeReplaceStep(std::string pattern, std::string content) {
  return std::make_unique<ReplaceStep>(std::move(pattern), std::move(content));
}
std::unique_ptr<DecoderStep> MakeMetaspaceStep(const MetaspaceOptions& options) {
  return std::make_unique<MetaspaceStep>(options);
}

}  // namespace winnow
