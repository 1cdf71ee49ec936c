// A regular expression of tokenizer.json, matched with PCRE2 over UTF-8.
//
// Immutable after Compile and safe to use from many threads: each search has its own match data.
//
// No text may hang a search. A backtracking matcher can take quadratic or exponential time, so it
// sees the text through windows, with PCRE2's "partial hard" matching: a match that did not look
// past the window's end is exact. Where one might begin that has to look further, the window grows
// for that place alone, which is charged to a budget proportional to the text; and each attempt may
// take a number of backtracking steps proportional to its window. Past either the search ends with
// ResourceExhausted. The expressions that tokenizers use stay far below: their matches cover the
// text, so each byte is looked at a few times.
#ifndef WINNOW_MODEL_TOKENIZER_REGEX_H_
#define WINNOW_MODEL_TOKENIZER_REGEX_H_

#include <pcre2.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow {

// A piece of a searched text: bytes [begin, end), part of a match or between two.
struct MatchSpan {
  size_t begin;
  size_t end;
  bool is_match;

  friend bool operator==(const MatchSpan&, const MatchSpan&) = default;
};

class Regex {
 public:
  // The window that a search starts with; tests take smaller ones.
  static constexpr size_t kDefaultWindowBytes = 512;

  // `pattern` in the format's own syntax: see regex_syntax.h. InvalidArgument when it is not
  // understood.
  static absl::StatusOr<Regex> Compile(std::string_view pattern,
                                       size_t window_bytes = kDefaultWindowBytes);
  // Matches `literal` itself. REQUIRES: literal is not empty.
  static absl::StatusOr<Regex> CompileLiteral(std::string_view literal);

  // Cuts all of `text` into matches, leftmost first and not overlapping, and what lies between
  // them, in order. An empty match is a span of its own, except right after another match. An empty
  // text gives one empty span. REQUIRES: text is valid UTF-8.
  absl::Status Cut(std::string_view text, std::vector<MatchSpan>* spans) const;

 private:
  struct CodeDeleter {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };

  Regex(std::string source, std::unique_ptr<pcre2_code, CodeDeleter> code, size_t window_bytes)
      : source_(std::move(source)), code_(std::move(code)), window_bytes_(window_bytes) {}

  static absl::StatusOr<Regex> CompileTranslated(std::string_view source, std::string_view pattern,
                                                 size_t window_bytes);

  std::string source_;  // for messages
  std::unique_ptr<pcre2_code, CodeDeleter> code_;
  size_t window_bytes_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_REGEX_H_
