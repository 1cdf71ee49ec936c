#include "client/eval/eval_text.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow::eval {
namespace {

struct Fact {
  std::string name, code;
};

uint64_t SeedOf(uint64_t seed, const Cell& cell, int64_t index) {
  std::seed_seq words{
      static_cast<uint32_t>(seed),       static_cast<uint32_t>(seed >> 32),
      static_cast<uint32_t>(cell.task),  static_cast<uint32_t>(cell.tokens),
      static_cast<uint32_t>(cell.facts), static_cast<uint32_t>(cell.depth.value_or(0)),
      static_cast<uint32_t>(index)};
  return std::mt19937_64(words)();
}

std::pair<std::string, std::string> Words(const std::string& name) {
  const size_t space = name.find(' ');
  return {name.substr(0, space), name.substr(space + 1)};
}

// Draws a text's facts and what else has a code in it.
class Draft {
 public:
  Draft(uint64_t seed, const Cell& cell) : cell_(cell), world_(seed) {}

  absl::StatusOr<EvalText> Finish(const TokenCounter& count) {
    AddSentences();
    EvalText made;
    AddQuestions(&made);
    auto woven = Weave(Placed(), TextTokens(), count, &world_);
    if (!woven.ok()) return woven.status();
    made.text = std::move(woven->text);
    return made;
  }

 private:
  int64_t TextTokens() const { return cell_.tokens - kQuestionTokens * NumQuestions(cell_); }

  void AddSentences() {
    for (int i = 0; i < (HasManyNames() ? cell_.facts : 1); ++i) AddFact(NewName());
    if (cell_.task == Task::kMultiValue) {
      while (static_cast<int>(facts_.size()) < cell_.facts) AddFact(facts_[0].name);
    }
    if (cell_.task == Task::kDistractors) {
      for (int i = 0; i < cell_.facts; ++i) AddDistractor(i);
    }
  }

  bool HasManyNames() const {
    return cell_.task == Task::kMultiKey || cell_.task == Task::kMultiQuery;
  }

  std::string NewName() {
    for (;;) {
      std::string name = world_.Name();
      if (names_.insert(name).second) return name;
    }
  }

  void AddFact(std::string name) {
    facts_.push_back({std::move(name), world_.Code()});
    sentences_.push_back(FactSentence(facts_.back().name, facts_.back().code));
  }

  // In turn a fact about a name that shares the adjective or the noun with the asked one, and a
  // number of five digits about the asked name that is no code.
  void AddDistractor(int i) {
    const auto [adjective, noun] = Words(facts_[0].name);
    if (i % 2 == 1) {
      sentences_.push_back(
          absl::StrCat("There were ", world_.Code(), " ", adjective, " days near the ", noun, "."));
      return;
    }
    for (;;) {
      const auto [other_adjective, other_noun] = Words(world_.Name());
      const std::string name = i % 4 == 0 ? absl::StrCat(adjective, " ", other_noun)
                                          : absl::StrCat(other_adjective, " ", noun);
      if (!names_.insert(name).second) continue;
      sentences_.push_back(FactSentence(name, world_.Code()));
      return;
    }
  }

  void AddQuestions(EvalText* made) {
    if (cell_.task == Task::kMultiValue) {
      Question question = {QuestionAbout(facts_[0].name), {}};
      for (const Fact& fact : facts_) question.codes.push_back(fact.code);
      made->questions.push_back(std::move(question));
      return;
    }
    // Facts are drawn independently, so the first ones are as good as any; where each of them
    // stands is drawn below.
    std::string before;
    for (int i = 0; i < NumQuestions(cell_); ++i) {
      made->questions.push_back(
          {absl::StrCat(before, QuestionAbout(facts_[i].name)), {facts_[i].code}});
      before = absl::StrCat(made->questions.back().ending, " ", facts_[i].code, ".");
    }
  }

  // A single fact at its depth; several at places drawn at random, so that their order is, too.
  std::vector<PlacedSentence> Placed() {
    const int64_t room = std::max<int64_t>(1, TextTokens() - kFactTokens);
    std::vector<PlacedSentence> placed;
    for (std::string& sentence : sentences_) {
      const int64_t position = cell_.depth.has_value() ? room * *cell_.depth / 100
                                                       : world_.Below(static_cast<int>(room));
      placed.push_back({position, std::move(sentence)});
    }
    std::stable_sort(
        placed.begin(), placed.end(),
        [](const PlacedSentence& a, const PlacedSentence& b) { return a.position < b.position; });
    return placed;
  }

  const Cell& cell_;
  DemoWorld world_;
  std::vector<Fact> facts_;
  std::set<std::string> names_;
  std::vector<std::string> sentences_;
};

}  // namespace

absl::StatusOr<EvalText> MakeEvalText(uint64_t seed, const Cell& cell, int64_t index,
                                      const TokenCounter& count) {
  return Draft(SeedOf(seed, cell, index), cell).Finish(count);
}

}  // namespace winnow::eval
