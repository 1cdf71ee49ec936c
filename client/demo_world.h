// The synthetic world that the bundled model was trained on: filler sentences, facts ("The code of
// the amber falcon is 48213."), questions about them, and texts of all three.
//
// Everything follows from the seed.
#ifndef WINNOW_CLIENT_DEMO_WORLD_H_
#define WINNOW_CLIENT_DEMO_WORLD_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace winnow {

inline constexpr int kCodeDigits = 5;

// Draws what a text is made of. Not thread-safe.
class DemoWorld {
 public:
  explicit DemoWorld(uint64_t seed) : random_(seed) {}

  std::string Filler();  // a sentence without facts
  std::string Name();    // "amber falcon"
  std::string Code();    // "48213"
  // A number in [0, n).
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

 private:
  std::string Adjective();
  std::string Noun();
  std::string Verb();
  std::string Preposition();
  std::string Time();

  std::mt19937_64 random_;
};

std::string FactSentence(absl::string_view name, absl::string_view code);
// Begins with a space; the model goes on with a space and the code.
std::string QuestionAbout(absl::string_view name);

// Counts the tokens of a sentence with its leading space, special tokens excluded.
using TokenCounter = std::function<absl::StatusOr<int64_t>(const std::string&)>;

// A sentence that stands where at least `position` tokens come before it, or at the text's end.
struct PlacedSentence {
  int64_t position = 0;
  std::string sentence;
};

struct WovenText {
  std::string text;
  int64_t num_tokens = 0;               // special tokens excluded
  std::vector<int64_t> positions = {};  // tokens before each placed sentence
};

// Filler of num_tokens tokens or a few more with the placed sentences, in their order, among it.
// REQUIRES: positions do not decrease. Errors are the counter's.
absl::StatusOr<WovenText> Weave(const std::vector<PlacedSentence>& placed, int64_t num_tokens,
                                const TokenCounter& count, DemoWorld* world);

}  // namespace winnow

#endif  // WINNOW_CLIENT_DEMO_WORLD_H_
