// What an evaluation measured.
#ifndef WINNOW_CLIENT_EVAL_RESULTS_H_
#define WINNOW_CLIENT_EVAL_RESULTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/eval/cell.h"
#include "client/eval/questions.h"
#include "client/eval/score.h"
#include "client/load/call_record.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow::eval {

struct Answer {
  int64_t text = 0;
  size_t question = 0;
  std::vector<std::string> codes;  // any of them is right
  std::string answer;
};

// A text counts as one trial: its answers are not independent of each other.
struct CellResult {
  int64_t texts = 0;          // of which all questions were answered
  int64_t right = 0;          // of them: all answers are exact
  double digits = 0;          // sum of the texts' shares of right digits
  int64_t failed = 0;         // texts of which a question was not answered
  int64_t prompt_tokens = 0;  // of all answered questions together
  std::vector<Answer> answers = {};

  // 0 without texts.
  double exact_share() const;
  double digit_share() const;
  Interval exact_interval() const { return Wilson95(exact_share(), texts); }
  // Takes a text's digits for one trial, as they are right or wrong together: rather too wide.
  Interval digit_interval() const { return Wilson95(digit_share(), texts); }
  // Takes in another cell's texts; answers stay where they are.
  void AddCounts(const CellResult& other);
};

// Of one sequence alone, medians of several.
struct TokenTimes {
  int64_t prompt_tokens = 0;
  double prompt_us = 0;  // until the first token, for each token of the prompt
  double output_us = 0;  // for each token after the first
};

struct VariantResult {
  std::string name, address = {};
  v1::GetModelInfoResponse info = {};
  std::vector<CellResult> cells = {};  // as in EvalResult
  double seconds = 0;
  int64_t prompt_tokens = 0;
  std::map<std::string, int64_t> errors = {};  // failed requests by code and message
  bool stopped = false;                        // before its end
  std::optional<TokenTimes> times = {};        // if they were asked for
};

struct EvalResult {
  std::string date;  // of the start, RFC 3339
  uint64_t seed = 1;
  int concurrency = 1;  // requests in flight
  std::vector<Cell> cells = {};
  std::vector<VariantResult> variants = {};  // the others are compared with the first one
};

// All variants in one result, with all cells that any of them was asked, in the order in which they
// first come. The first result says when, with which seed and how many at once. REQUIRES: results.
EvalResult Merge(std::vector<EvalResult> results);

// Every cell's result, from the records of requests in any order; texts that were not asked to
// their end are left out.
std::vector<CellResult> Tally(const Questions& questions,
                              const std::vector<load::CallRecord>& records);

// Bytes that a sequence of this many tokens takes at most. Where it grows with length, all
// attention layers are taken to keep everything.
uint64_t StateBytes(const v1::GetModelInfoResponse& info, int64_t tokens);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_RESULTS_H_
