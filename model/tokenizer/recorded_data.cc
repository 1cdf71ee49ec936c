#include "model/tokenizer/recorded_data.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>
#include <utility>

namespace winnow {
namespace {

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << message << std::endl;
  std::abort();
}

class Reader {
 public:
  explicit Reader(std::string data) : data_(std::move(data)) {}

  uint64_t Number() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(Bytes(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  }
  std::vector<uint32_t> Ids() {
    std::vector<uint32_t> ids(Number());
    for (uint32_t& id : ids) id = static_cast<uint32_t>(Number());
    return ids;
  }
  std::string Text(const std::string& usual) {
    const uint64_t size = Number();
    return size == 0 ? usual : std::string(Bytes(size - 1));
  }
  RecordedText Item(const std::string& usual) {
    RecordedText item;
    item.ids = Ids();
    item.without_special = Text(usual);
    item.with_special = Text(item.without_special);
    return item;
  }
  bool AtEnd() const { return pos_ == data_.size(); }

 private:
  std::string_view Bytes(size_t count) {
    if (count > data_.size() - pos_) Fail("a recording is cut short");
    pos_ += count;
    return std::string_view(data_).substr(pos_ - count, count);
  }

  std::string data_;
  size_t pos_ = 0;
};

}  // namespace

std::vector<std::string> RecordedTokenizerNames() {
  return {"demo", "qwen", "gpt2", "llama", "metaspace"};
}

std::string RecordedTokenizerPath(const std::string& name) {
  if (name == "demo") return "deploy/demo-model/tokenizer.json";
  return "tests/data/tokenizers/" + name + ".json";
}

std::unique_ptr<const Tokenizer> LoadRecordedTokenizer(const std::string& name) {
  auto tokenizer = Tokenizer::Load(RecordedTokenizerPath(name));
  if (!tokenizer.ok()) Fail(tokenizer.status().ToString());
  return *std::move(tokenizer);
}

std::string ReadTestFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) Fail(path + " cannot be read");
  return text.str();
}

std::vector<nlohmann::json> ReadJsonLines(const std::string& path) {
  std::istringstream lines(ReadTestFile(path));
  std::vector<nlohmann::json> documents;
  for (std::string line; std::getline(lines, line);) {
    documents.push_back(nlohmann::json::parse(line));
  }
  return documents;
}

std::vector<std::string> ReadRecordedStrings() {
  std::vector<std::string> strings;
  for (const auto& json : ReadJsonLines("tests/data/tokenizers/strings.jsonl")) {
    strings.push_back(json.get<std::string>());
  }
  return strings;
}

Recording ReadRecording(const std::string& name, const std::vector<std::string>& strings) {
  Reader reader(ReadTestFile("tests/data/tokenizers/" + name + ".rec"));
  Recording recording;
  recording.prefix = reader.Ids();
  recording.suffix = reader.Ids();
  if (reader.Number() != strings.size()) Fail(name + ".rec is of other strings");
  for (const std::string& string : strings) recording.texts.push_back(reader.Item(string));
  const uint64_t num_sequences = reader.Number();
  for (uint64_t i = 0; i < num_sequences; ++i) recording.id_sequences.push_back(reader.Item(""));
  if (!reader.AtEnd()) Fail(name + ".rec has more than it should");
  return recording;
}

}  // namespace winnow
