#include "client/demo_text.h"

#include <set>
#include <utility>

namespace winnow {

absl::StatusOr<DemoText> MakeDemoText(uint64_t seed, int64_t num_tokens, int num_facts,
                                      const TokenCounter& count) {
  DemoWorld world(seed);
  DemoText demo;
  std::set<std::string> names;
  while (static_cast<int>(demo.facts.size()) < num_facts) {
    DemoFact fact;
    fact.name = world.Name();
    fact.code = world.Code();
    if (names.insert(fact.name).second) demo.facts.push_back(std::move(fact));
  }
  demo.question = QuestionAbout(demo.facts[0].name);

  // The asked fact comes early, after a few sentences; the others follow at even distances in the
  // first half.
  const int64_t spacing = num_tokens / 2 / num_facts;
  std::vector<PlacedSentence> placed;
  for (const DemoFact& fact : demo.facts) {
    placed.push_back({kFirstFactToken + static_cast<int64_t>(placed.size()) * spacing,
                      FactSentence(fact.name, fact.code)});
  }
  auto woven = Weave(placed, num_tokens, count, &world);
  if (!woven.ok()) return woven.status();
  demo.text = std::move(woven->text);
  demo.num_tokens = woven->num_tokens;
  for (size_t i = 0; i < demo.facts.size(); ++i) demo.facts[i].position = woven->positions[i];
  return demo;
}

}  // namespace winnow
