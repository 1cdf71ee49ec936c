// The demo's text: filler sentences, a few facts ("The code of the amber falcon is 48213."), one
// question about the first fact.
//
// Everything follows from the seed.
#ifndef WINNOW_CLIENT_DEMO_TEXT_H_
#define WINNOW_CLIENT_DEMO_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/demo_world.h"

namespace winnow {

struct DemoFact {
  std::string name;      // "amber falcon"
  std::string code;      // five digits
  int64_t position = 0;  // tokens before its sentence
};

struct DemoText {
  std::string text;
  std::string question;         // about facts[0]; follows the text, begins with a space
  int64_t num_tokens = 0;       // of the text, special tokens excluded
  std::vector<DemoFact> facts;  // in the order in which they appear
};

// Tokens before the asked fact.
inline constexpr int64_t kFirstFactToken = 40;

// A text of num_tokens tokens or a few more with num_facts facts in its first half. REQUIRES
// num_facts >= 1 and num_tokens >= 100 * num_facts. Errors are the counter's.
absl::StatusOr<DemoText> MakeDemoText(uint64_t seed, int64_t num_tokens, int num_facts,
                                      const TokenCounter& count);

}  // namespace winnow

#endif  // WINNOW_CLIENT_DEMO_TEXT_H_
