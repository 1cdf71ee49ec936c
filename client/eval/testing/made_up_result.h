// A made-up result, for the tests of reports.
#ifndef WINNOW_CLIENT_EVAL_TESTING_MADE_UP_RESULT_H_
#define WINNOW_CLIENT_EVAL_TESTING_MADE_UP_RESULT_H_

#include <cstdint>
#include <string>

#include "client/eval/results.h"

namespace winnow::eval {

// 10 texts in each of six cells, `right` of them right.
inline VariantResult MadeUpVariant(const std::string& name, int64_t right) {
  VariantResult variant = {.name = name, .address = "host:1"};
  variant.info.set_name("demo <model>");
  variant.info.set_backend("cpu");
  for (const char* kind : {"gdn", "lte", "gdn"}) variant.info.add_layer_kinds(kind);
  variant.info.set_slot_bytes_per_sequence(2048);
  variant.info.set_max_pages_per_sequence(0);
  variant.seconds = 2;
  variant.prompt_tokens = 3000;
  for (int i = 0; i < 6; ++i) {
    variant.cells.push_back({.texts = 10, .right = right, .digits = 8, .prompt_tokens = 900});
    variant.cells.back().answers = {{0, 0, {"48213"}, " 48\"13"}};
  }
  return variant;
}

// "lte", always right, and "window & co", right in half of its texts.
inline EvalResult MadeUpResult() {
  return {.date = "2026-11-25T00:00:00Z",
          .cells = {{Task::kSingle, 512, 0},
                    {Task::kSingle, 512, 100},
                    {Task::kSingle, 4096, 0},
                    {.task = Task::kMultiKey, .tokens = 2048, .facts = 32},
                    {.task = Task::kMultiKey, .tokens = 2048, .facts = 8},
                    {.task = Task::kMultiValue, .tokens = 2048, .facts = 4}},
          .variants = {MadeUpVariant("lte", 10), MadeUpVariant("window & co", 5)}};
}

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_TESTING_MADE_UP_RESULT_H_
