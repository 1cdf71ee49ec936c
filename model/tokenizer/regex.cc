#include "model/tokenizer/regex.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "model/tokenizer/concat.h"
#include "model/tokenizer/regex_syntax.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

// Backtracking steps allowed to one match attempt in a window of so many bytes.
constexpr size_t kStepsPerWindow = 4096;
constexpr size_t kStepsPerByte = 16;
// Bytes that may be searched once more because a window was too small, for each byte of text.
constexpr size_t kRepeatsPerByte = 16;
constexpr size_t kFreeRepeats = size_t{1} << 20;  // and for any text, however short
constexpr uint32_t kHeapLimitKib = 256 * 1024;

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct MatchContextDeleter {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct CompileContextDeleter {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof(buffer)) < 0) return Concat(code);
  return reinterpret_cast<const char*>(buffer);
}

// The successive matches in one text.
class Search {
 public:
  Search(const pcre2_code* code, std::string_view text, size_t window_bytes)
      : code_(code),
        text_(text),
        window_bytes_(window_bytes),
        budget_(kFreeRepeats + kRepeatsPerByte * text.size()),
        data_(pcre2_match_data_create_from_pattern(code, nullptr)),
        context_(pcre2_match_context_create(nullptr)) {
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  using Range = std::pair<size_t, size_t>;

  // The first match that begins at `from` or later.
  absl::StatusOr<std::optional<Range>> FindFrom(size_t from) {
    while (true) {
      const size_t end = WindowEnd(from, window_bytes_);
      const int rc = Match(from, end, PCRE2_UNSET);
      if (rc >= 0) return MatchedRange();
      if (rc == PCRE2_ERROR_NOMATCH) {
        if (end == text_.size()) return std::optional<Range>();
        from = end;
      } else if (rc == PCRE2_ERROR_PARTIAL) {
        // Nothing begins before; what may begin here needs to see more text.
        const size_t begin = MatchedRange().first;
        absl::StatusOr<std::optional<Range>> match = MatchAt(begin);
        if (!match.ok() || match->has_value()) return match;
        from = begin + DecodeUtf8(text_, begin).num_bytes;
      } else {
        return TooComplex(ErrorText(rc));
      }
    }
  }

 private:
  // A match that begins at `begin`, in growing windows.
  absl::StatusOr<std::optional<Range>> MatchAt(size_t begin) {
    for (size_t window = 2 * window_bytes_;; window *= 2) {
      const size_t end = WindowEnd(begin, window);
      if (end - begin > budget_) return TooComplex("it looks too far ahead too often");
      budget_ -= end - begin;
      const int rc = Match(begin, end, /*last_begin=*/begin);
      if (rc >= 0) return MatchedRange();
      if (rc == PCRE2_ERROR_NOMATCH) return std::optional<Range>();
      if (rc != PCRE2_ERROR_PARTIAL) return TooComplex(ErrorText(rc));
    }
  }

  size_t WindowEnd(size_t from, size_t window) const {
    if (window >= text_.size() - from) return text_.size();
    size_t end = from + window;
    while (end < text_.size() && (text_[end] & 0xC0) == 0x80) ++end;
    return end;
  }

  // A match that begins in [from, last_begin] and does not look past `end`.
  int Match(size_t from, size_t end, size_t last_begin) {
    const size_t steps = kStepsPerWindow + kStepsPerByte * (end - from);
    pcre2_set_match_limit(context_.get(),
                          static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
    pcre2_set_offset_limit(context_.get(), last_begin);
    uint32_t options = PCRE2_NO_UTF_CHECK;
    if (end < text_.size()) options |= PCRE2_PARTIAL_HARD;
    const auto match = [&](uint32_t extra) {
      return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text_.data()), end, from,
                         options | extra, data_.get(), context_.get());
    };
    const int rc = match(0);
    // The compiled matcher's stack is small. The interpreter backtracks on the heap.
    return rc == PCRE2_ERROR_JIT_STACKLIMIT ? match(PCRE2_NO_JIT) : rc;
  }

  // Of the last match, whole or partial.
  Range MatchedRange() const {
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data_.get());
    return {offsets[0], offsets[1]};
  }

  absl::Status TooComplex(std::string_view why) const {
    return absl::ResourceExhaustedError(
        Concat("the text is too complex for the tokenizer's regular expression: ", why));
  }

  const pcre2_code* code_;
  std::string_view text_;
  size_t window_bytes_;
  size_t budget_;
  std::unique_ptr<pcre2_match_data, MatchDataDeleter> data_;
  std::unique_ptr<pcre2_match_context, MatchContextDeleter> context_;
};

}  // namespace

absl::StatusOr<Regex> Regex::Compile(std::string_view pattern, size_t window_bytes) {
  absl::StatusOr<std::string> translated = TranslateRegex(pattern);
  if (!translated.ok()) return translated.status();
  return CompileTranslated(pattern, *translated, window_bytes);
}

absl::StatusOr<Regex> Regex::CompileLiteral(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    if (absl::ascii_ispunct(c)) pattern += '\\';
    pattern += c;
  }
  return CompileTranslated(literal, pattern, kDefaultWindowBytes);
}

absl::StatusOr<Regex> Regex::CompileTranslated(std::string_view source, std::string_view pattern,
                                               size_t window_bytes) {
  std::unique_ptr<pcre2_compile_context, CompileContextDeleter> context(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT;
  std::unique_ptr<pcre2_code, CodeDeleter> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error,
                    &offset, context.get()));
  if (code == nullptr) {
    return absl::InvalidArgumentError(
        Concat("bad regular expression \"", source, "\": ", ErrorText(error)));
  }
  // Where the machine allows no compiled matcher, PCRE2 interprets, with the same matches.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return Regex(std::string(source), std::move(code), window_bytes);
}

absl::Status Regex::Cut(std::string_view text, std::vector<MatchSpan>* spans) const {
  spans->clear();
  if (text.empty()) {
    spans->push_back({0, 0, false});
    return absl::OkStatus();
  }
  Search search(code_.get(), text, window_bytes_);
  size_t covered = 0;  // everything before is in spans
  size_t from = 0;
  std::optional<size_t> last_end;
  while (from <= text.size()) {
    auto match = search.FindFrom(from);
    if (!match.ok()) return match.status();
    if (!match->has_value()) break;
    const auto [begin, end] = **match;
    if (begin == end && last_end == end) {
      from += from < text.size() ? DecodeUtf8(text, from).num_bytes : 1;
      continue;
    }
    if (covered != begin) spans->push_back({covered, begin, false});
    spans->push_back({begin, end, true});
    covered = end;
    from = end;
    last_end = end;
  }
  if (covered != text.size()) spans->push_back({covered, text.size(), false});
  return absl::OkStatus();
}

}  // namespace winnow
