#include "client/demo_world.h"

#include <cctype>
#include <cstddef>

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

// As the training text has it: first letter upper case, the rest lower case.
std::string Capitalised(std::string s) {
  for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  s[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(s[0])));
  return s;
}

template <size_t N>
std::string OneOf(const char* const (&words)[N], DemoWorld* world) {
  return words[world->Below(static_cast<int>(N))];
}

}  // namespace

std::string DemoWorld::Filler() {
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
    return absl::StrCat(Capitalised(Time()), ", the ", Noun(), " ", Verb(), " a ", Noun(), " and ",
                        Verb(), " the ", Adjective(), " ", Noun(), ".");
  }
  if (kind < 90) {
    return absl::StrCat("There were ", 2 + Below(98), " ", Adjective(), " days ", Preposition(),
                        " the ", Noun(), ".");
  }
  return absl::StrCat("The ", Noun(), " and the ", Noun(), " ", Verb(), " the ", Adjective(), " ",
                      Noun(), " ", Preposition(), " the ", Noun(), ".");
}

std::string DemoWorld::Name() { return absl::StrCat(Adjective(), " ", Noun()); }

std::string DemoWorld::Code() {
  std::string code;
  for (int i = 0; i < kCodeDigits; ++i) code += static_cast<char>('0' + Below(10));
  return code;
}

std::string DemoWorld::Adjective() { return OneOf(kAdjectives, this); }
std::string DemoWorld::Noun() { return OneOf(kNouns, this); }
std::string DemoWorld::Verb() { return OneOf(kVerbs, this); }
std::string DemoWorld::Preposition() { return OneOf(kPrepositions, this); }
std::string DemoWorld::Time() { return OneOf(kTimes, this); }

std::string FactSentence(absl::string_view name, absl::string_view code) {
  return absl::StrCat("The code of the ", name, " is ", code, ".");
}

std::string QuestionAbout(absl::string_view name) {
  return absl::StrCat(" Question: what is the code of the ", name, "? Answer:");
}

absl::StatusOr<WovenText> Weave(const std::vector<PlacedSentence>& placed, int64_t num_tokens,
                                const TokenCounter& count, DemoWorld* world) {
  WovenText woven;
  while (woven.num_tokens < num_tokens || woven.positions.size() < placed.size()) {
    const size_t next = woven.positions.size();
    const bool is_placed = next < placed.size() && (woven.num_tokens >= placed[next].position ||
                                                    woven.num_tokens >= num_tokens);
    std::string sentence = is_placed ? placed[next].sentence : world->Filler();
    if (!woven.text.empty()) sentence = absl::StrCat(" ", sentence);
    const auto tokens = count(sentence);
    if (!tokens.ok()) return tokens.status();
    if (is_placed) woven.positions.push_back(woven.num_tokens);
    woven.text += sentence;
    woven.num_tokens += *tokens;
  }
  return woven;
}

}  // namespace winnow
