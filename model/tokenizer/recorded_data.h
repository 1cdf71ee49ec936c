// Reads what tools/record_tokenizer_data.py recorded. For tests: any failure to read ends the test
// program.
#ifndef WINNOW_MODEL_TOKENIZER_RECORDED_DATA_H_
#define WINNOW_MODEL_TOKENIZER_RECORDED_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace winnow {

struct RecordedText {
  std::vector<uint32_t> ids;
  std::string without_special;  // the ids decoded
  std::string with_special;
};

struct Recording {
  std::vector<uint32_t> prefix;
  std::vector<uint32_t> suffix;
  std::vector<RecordedText> texts;         // one for each of the recorded strings
  std::vector<RecordedText> id_sequences;  // random ids
};

// "demo", and those in tests/data/tokenizers.
std::vector<std::string> RecordedTokenizerNames();
std::string RecordedTokenizerPath(const std::string& name);
std::unique_ptr<const Tokenizer> LoadRecordedTokenizer(const std::string& name);

std::string ReadTestFile(const std::string& path);
// One JSON document a line.
std::vector<nlohmann::json> ReadJsonLines(const std::string& path);

std::vector<std::string> ReadRecordedStrings();
Recording ReadRecording(const std::string& name, const std::vector<std::string>& strings);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_RECORDED_DATA_H_
