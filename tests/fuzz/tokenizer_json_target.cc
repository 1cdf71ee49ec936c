// Any tokenizer.json: refused with a reason, or a tokenizer that works. Input: the file.
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/target.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

constexpr char kText[] =
    "<s> The naïve 世界 costs 3.14 <|im_start|>e\u0301\n\n  \t😀 don't<mask> aab<tool>\x01";

void Run(std::string_view file) {
  const auto tokenizer = Tokenizer::FromJson(file);
  if (!tokenizer.ok()) {
    WINNOW_CHECK(absl::IsInvalidArgument(tokenizer.status())) << tokenizer.status();
    WINNOW_CHECK(!tokenizer.status().message().empty());
    return;
  }
  const auto ids = (*tokenizer)->Encode(kText, /*add_special_tokens=*/true);
  if (!ids.ok()) {
    WINNOW_CHECK(absl::IsResourceExhausted(ids.status())) << ids.status();
    return;
  }
  WINNOW_CHECK((*tokenizer)->CheckIds(*ids).ok());
  const auto decoded = (*tokenizer)->Decode(*ids, /*include_special=*/true);
  WINNOW_CHECK(decoded.ok() && !FindInvalidUtf8(*decoded).has_value()) << decoded.status();
}

// A random value somewhere in a document, but for the long lists.
Json* RandomPlace(Json* json, std::minstd_rand* random) {
  while (json->is_structured() && !json->empty() && json->size() < 50 && (*random)() % 8 != 0) {
    json = &*std::next(json->begin(), static_cast<std::ptrdiff_t>((*random)() % json->size()));
  }
  return json;
}

const std::vector<Json>& Values() {
  static const auto& values = *new std::vector<Json>{nullptr,
                                                     true,
                                                     false,
                                                     0,
                                                     -1,
                                                     7,
                                                     4294967295u,
                                                     1e300,
                                                     0.5,
                                                     "",
                                                     "a",
                                                     "é",
                                                     "<s>",
                                                     "▁",
                                                     "(?i)a+",
                                                     "\\s+(?!\\S)|",
                                                     "[^\\s\\p{L}]",
                                                     "a*",
                                                     "x{2,}+",
                                                     "ByteLevel",
                                                     "ByteFallback",
                                                     "Fuse",
                                                     "Sequence",
                                                     "Removed",
                                                     "first",
                                                     "never",
                                                     Json::array(),
                                                     Json::object(),
                                                     Json{{"type", "Fuse"}},
                                                     Json{{"Regex", "(a|b)*?c"}},
                                                     Json{{"String", "e"}}};
  return values;
}

// Keeps the file JSON, so that the damage comes further than the parser.
std::string Mutated(Json file, std::minstd_rand* random) {
  Json* place = RandomPlace(&file, random);
  switch ((*random)() % 4) {
    case 0:
      *place = Json(*RandomPlace(&file, random));
      break;
    case 1:
      if (place->is_object() && !place->empty()) {
        place->erase(
            std::next(place->begin(), static_cast<std::ptrdiff_t>((*random)() % place->size())));
        break;
      }
      [[fallthrough]];
    default:
      *place = Values()[(*random)() % Values().size()];
  }
  return file.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace
}  // namespace winnow

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  winnow::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  std::minstd_rand random(seed);
  auto file = nlohmann::json::parse(data, data + size, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded() || random() % 4 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string mutated = winnow::Mutated(std::move(file), &random);
  if (mutated.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, mutated.data(), mutated.size());
  return mutated.size();
}
