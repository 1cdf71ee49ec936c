// The recorded tokenizers, loaded once, for fuzz targets.
#ifndef WINNOW_TESTS_FUZZ_TOKENIZERS_H_
#define WINNOW_TESTS_FUZZ_TOKENIZERS_H_

#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/tokenizer.h"

namespace winnow {

struct NamedTokenizer {
  std::string name;
  std::unique_ptr<const Tokenizer> tokenizer;
};

inline const NamedTokenizer& RecordedTokenizer(size_t index) {
  static const std::vector<NamedTokenizer>& all = *[] {
    auto* tokenizers = new std::vector<NamedTokenizer>();
    for (const std::string& name : RecordedTokenizerNames()) {
      tokenizers->push_back({name, LoadRecordedTokenizer(name)});
    }
    return tokenizers;
  }();
  return all[index % all.size()];
}

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_TOKENIZERS_H_
