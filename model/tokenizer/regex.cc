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
// Bytes that may be searched again because a window was too small, for each byte of text.
constexpr size_t kRepeatsPerByte = 16;
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
        budget_(kRepeatsPerByte * (text.size() + window_bytes)),
        data_(pcre2_match_data_create_from_pattern(code, nullptr)),
        context_(pcre2_match_context_create(nullptr)) {
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  using Range = std::pair<size_t, size_t>;

  // The first match that begins at `from` or later.
  absl::StatusOr<std::optional<Range>> FindFrom(size_t from) {
    size_t window = window_bytes_;
    while (true) {
      const size_t end = WindowEnd(from, window);
      const int rc = MatchWindow(from, end);
      const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data_.get());
      if (rc >= 0) return Range(offsets[0], offsets[1]);
      if (rc == PCRE2_ERROR_NOMATCH) {
        if (end == text_.size()) return std::optional<Range>();
        from = end;
        window = window_bytes_;
      } else if (rc == PCRE2_ERROR_PARTIAL) {
        // Nothing begins before offsets[0]; what may begin there needs to see more text.
        const size_t repeated = end - offsets[0];
        if (repeated > budget_) return TooComplex("looks too far ahead");
        budget_ -= repeated;
        from = offsets[0];
        window = std::max(window_bytes_, 2 * repeated);
      } else {
        return TooComplex(ErrorText(rc));
      }
    }
  }

 private:
  size_t WindowEnd(size_t from, size_t window) const {
    if (window >= text_.size() - from) return text_.size();
    size_t end = from + window;
    while (end < text_.size() && (text_[end] & 0xC0) == 0x80) ++end;
    return end;
  }

  int MatchWindow(size_t from, size_t end) {
    const size_t steps = kStepsPerWindow + kStepsPerByte * (end - from);
    pcre2_set_match_limit(context_.get(),
                          static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
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
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
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
