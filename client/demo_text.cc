#include "client/demo_text.h"

#include <cctype>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"

namespace winnow {
namespace {

constexpr const char* kAdjectives[] = {
    "amber",  "ancient", "bitter",  "bold",    "brave",    "bright",  "broken", "calm",   "clever",
    "cold",   "copper",  "crimson", "curious", "dark",     "distant", "dusty",  "eager",  "early",
    "faint",  "fierce",  "foggy",   "gentle",  "giant",    "golden",  "grand",  "green",  "grey",
    "happy",  "heavy",   "hidden",  "hollow",  "honest",   "humble",  "icy",    "idle",   "jolly",
    "keen",   "kind",    "late",    "lazy",    "little",   "lively",  "lonely", "loud",   "lucky",
    "mellow", "merry",   "mild",    "misty",   "modest",   "muddy",   "narrow", "neat",   "nimble",
    "noble",  "odd",     "old",     "olive",   "pale",     "patient", "plain",  "polite", "proud",
    "quick",  "quiet",   "rapid",   "rare",    "restless", "rough",   "round",  "royal",  "rusty",
    "sandy",  "scarlet", "secret",  "shy",     "silent",   "silver",  "simple", "sleepy", "slender",
    "slow",   "small",   "smooth",  "soft",    "solemn",   "spare",   "steady", "steep",  "still",
    "stormy", "strange", "sturdy",  "sunny",   "swift",    "tall",    "tame",   "tidy",   "tiny",
    "tired",  "vivid",   "warm",    "weary",   "wild",     "windy",   "wise",   "young"};
constexpr const char* kNouns[] = {
    "acorn",    "anchor",  "apple",   "arrow",     "badger",     "bakery",   "barn",
    "barrel",   "basket",  "beacon",  "bell",      "bench",      "bird",     "boat",
    "book",     "bottle",  "bridge",  "brook",     "broom",      "bucket",   "butcher",
    "cabin",    "candle",  "captain", "carpenter", "carriage",   "castle",   "cat",
    "cellar",   "chair",   "chapel",  "clerk",     "clock",      "cloud",    "coach",
    "coin",     "comet",   "compass", "cook",      "cottage",    "crane",    "creek",
    "crow",     "crown",   "dancer",  "deer",      "desk",       "doctor",   "dog",
    "door",     "dove",    "dragon",  "drum",      "eagle",      "engine",   "falcon",
    "farmer",   "feather", "fence",   "ferry",     "fiddle",     "field",    "fisherman",
    "flag",     "flute",   "forest",  "fountain",  "fox",        "gardener", "gate",
    "ghost",    "glacier", "goat",    "goose",     "grove",      "guard",    "hammer",
    "harbor",   "hare",    "harp",    "hawk",      "hedge",      "heron",    "hill",
    "horn",     "horse",   "hunter",  "inn",       "island",     "jar",      "judge",
    "kettle",   "key",     "king",    "kite",      "knight",     "ladder",   "lake",
    "lamp",     "lantern", "lark",    "library",   "lighthouse", "lion",     "lizard",
    "maple",    "market",  "mason",   "meadow",    "merchant",   "mill",     "miller",
    "miner",    "mirror",  "monk",    "moon",      "mountain",   "mule",     "nurse",
    "oak",      "orchard", "otter",   "owl",       "painter",    "palace",   "parrot",
    "path",     "peddler", "pepper",  "pilot",     "pine",       "piper",    "planet",
    "poet",     "pond",    "porter",  "potter",    "prince",     "quarry",   "queen",
    "rabbit",   "raven",   "river",   "robin",     "rope",       "sailor",   "scholar",
    "shepherd", "ship",    "shore",   "singer",    "smith",      "sparrow",  "spider",
    "squirrel", "stable",  "star",    "stone",     "storm",      "stream",   "swan",
    "tailor",   "tavern",  "teacher", "temple",    "tiger",      "tower",    "trader",
    "traveler", "tree",    "turtle",  "valley",    "village",    "violin",   "wagon",
    "walker",   "wall",    "warden",  "weaver",    "well",       "whale",    "wheel",
    "willow",   "window",  "wizard",  "wolf",      "woodpecker"};
constexpr const char* kVerbs[] = {
    "admired",  "avoided", "borrowed",   "carried",  "chased",   "circled",  "copied",  "counted",
    "covered",  "crossed", "described",  "drew",     "followed", "found",    "greeted", "guarded",
    "heard",    "helped",  "ignored",    "joined",   "kept",     "left",     "lifted",  "loved",
    "measured", "met",     "moved",      "noticed",  "opened",   "painted",  "passed",  "pulled",
    "pushed",   "reached", "remembered", "repaired", "saw",      "searched", "shared",  "sketched",
    "sold",     "studied", "touched",    "trusted",  "visited",  "warned",   "watched", "welcomed"};
constexpr const char* kPrepositions[] = {
    "above",  "across", "after", "against", "along", "around",  "before", "behind", "below",
    "beside", "beyond", "by",    "inside",  "near",  "outside", "past",   "under"};
constexpr const char* kTimes[] = {
    "at dawn",      "at dusk",      "at midnight", "at noon",    "all day",   "in autumn",
    "in spring",    "in summer",    "in winter",   "last night", "last week", "on Friday",
    "on Monday",    "on Sunday",    "on Thursday", "on Tuesday", "long ago",  "once again",
    "that evening", "that morning", "this year",   "yesterday"};

// The sentences of one random world.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  std::string Filler() {
    const int kind = Below(100);
    if (kind < 35) {
      return absl::StrCat("The ", Adjective(), " ", Noun(), " ", Verb(), " the ", Noun(), " ",
                          Preposition(), " the ", Noun(), " ", Time(), ".");
    }
    if (kind < 60) {
      return absl::StrCat("A ", Adjective(), " ", Noun(), " ", Verb(), " the ", Adjective(), " ",
                          Noun(), ".");
    }
    if (kind < 80) {
      return absl::StrCat(Capitalised(Time()), ", the ", Noun(), " ", Verb(), " a ", Noun(),
                          " and ", Verb(), " the ", Adjective(), " ", Noun(), ".");
    }
    if (kind < 90) {
      return absl::StrCat("There were ", 2 + Below(98), " ", Adjective(), " days ", Preposition(),
                          " the ", Noun(), ".");
    }
    return absl::StrCat("The ", Noun(), " and the ", Noun(), " ", Verb(), " the ", Adjective(), " ",
                        Noun(), " ", Preposition(), " the ", Noun(), ".");
  }

  DemoFact Fact() {
    DemoFact fact;
    fact.name = absl::StrCat(Adjective(), " ", Noun());
    for (int i = 0; i < 5; ++i) fact.code += static_cast<char>('0' + Below(10));
    return fact;
  }

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

 private:
  template <size_t N>
  std::string OneOf(const char* const (&words)[N]) {
    return words[Below(static_cast<int>(N))];
  }
  std::string Adjective() { return OneOf(kAdjectives); }
  std::string Noun() { return OneOf(kNouns); }
  std::string Verb() { return OneOf(kVerbs); }
  std::string Preposition() { return OneOf(kPrepositions); }
  std::string Time() { return OneOf(kTimes); }

  // As the training text has it: first letter upper case, the rest lower case.
  static std::string Capitalised(std::string s) {
    for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    s[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(s[0])));
    return s;
  }

  std::mt19937_64 random_;
};

std::string FactSentence(const DemoFact& fact) {
  return absl::StrCat("The code of the ", fact.name, " is ", fact.code, ".");
}

}  // namespace

absl::StatusOr<DemoText> MakeDemoText(uint64_t seed, int64_t num_tokens, int num_facts,
                                      const TokenCounter& count) {
  World world(seed);
  DemoText demo;
  std::set<std::string> names;
  while (static_cast<int>(demo.facts.size()) < num_facts) {
    DemoFact fact = world.Fact();
    if (names.insert(fact.name).second) demo.facts.push_back(std::move(fact));
  }
  demo.question =
      absl::StrCat(" Question: what is the code of the ", demo.facts[0].name, "? Answer:");

  // The asked fact comes early, after a few sentences; the others follow at even distances in the
  // first half.
  const int64_t spacing = num_tokens / 2 / num_facts;
  size_t next_fact = 0;
  for (int64_t i = 0; demo.num_tokens < num_tokens; ++i) {
    const bool is_fact =
        next_fact < demo.facts.size() &&
        demo.num_tokens >= kFirstFactToken + static_cast<int64_t>(next_fact) * spacing;
    std::string sentence = is_fact ? FactSentence(demo.facts[next_fact]) : world.Filler();
    if (i > 0) sentence = absl::StrCat(" ", sentence);
    const auto tokens = count(sentence);
    if (!tokens.ok()) return tokens.status();
    if (is_fact) demo.facts[next_fact++].position = demo.num_tokens;
    demo.text += sentence;
    demo.num_tokens += *tokens;
  }
  return demo;
}

}  // namespace winnow
