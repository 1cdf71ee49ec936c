#include "tests/fuzz/service_input.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "proto/winnow/v1/generation.pb.h"
#include "tests/fuzz/proto_mutator.h"
#include "tests/fuzz/target.h"

namespace winnow {
namespace {

using google::protobuf::Message;
using google::protobuf::TextFormat;

struct Rpc {
  const char* word;
  const char* name;
  const Message* (*request)();
};

template <typename T>
const Message* Default() {
  return &T::default_instance();
}

constexpr Rpc kRpcs[] = {{"generate", "Generate", Default<v1::GenerateRequest>},
                         {"tokenize", "Tokenize", Default<v1::TokenizeRequest>},
                         {"detokenize", "Detokenize", Default<v1::DetokenizeRequest>},
                         {"info", "GetModelInfo", Default<v1::GetModelInfoRequest>},
                         {"load", "GetLoad", Default<v1::GetLoadRequest>}};

std::optional<size_t> FindRpc(absl::string_view word) {
  for (size_t i = 0; i < std::size(kRpcs); ++i) {
    if (word == kRpcs[i].word) return i;
  }
  return std::nullopt;
}

// Says nothing about text that does not parse.
class Silent final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
};

bool FromText(const std::string& text, Message* message) {
  Silent silent;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&silent);
  return parser.ParseFromString(text, message);
}

std::string ToText(const Message& message) {
  std::string text;
  TextFormat::PrintToString(message, &text);
  return text;
}

std::string DamagedBytes(std::string bytes) {
  const size_t size = bytes.size();
  bytes.resize(size + 32);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
  return bytes;
}

}  // namespace

std::optional<ServiceInput> ServiceInput::Parse(std::string_view input) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(absl::string_view(input.data(), input.size()), absl::MaxSplits('\n', 1));
  const std::vector<std::string> words = absl::StrSplit(parts.first, ' ');
  const auto rpc = FindRpc(words[0]);
  if (!rpc.has_value()) return std::nullopt;
  ServiceInput parsed;
  parsed.rpc = *rpc;
  parsed.body = parts.second;
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    uint32_t count = 0;
    if (word == "raw") {
      parsed.raw = true;
    } else if (absl::ConsumePrefix(&word, "cancel=") && absl::SimpleAtoi(word, &count)) {
      parsed.cancel_after = count;
    } else {
      return std::nullopt;
    }
  }
  return parsed;
}

std::string ServiceInput::Format() const {
  return absl::StrCat(kRpcs[rpc].word, raw ? " raw" : "",
                      cancel_after.has_value() ? absl::StrCat(" cancel=", *cancel_after) : "", "\n",
                      body);
}

std::string ServiceInput::method() const {
  return absl::StrCat("/winnow.v1.GenerationService/", kRpcs[rpc].name);
}

std::unique_ptr<Message> ServiceInput::NewRequest() const {
  return std::unique_ptr<Message>(kRpcs[rpc].request()->New());
}

std::optional<std::string> ServiceInput::RequestBytes() const {
  if (raw) return body;
  const auto request = NewRequest();
  if (!FromText(body, request.get())) return std::nullopt;
  return request->SerializeAsString();
}

void ServiceInput::Mutate(std::minstd_rand* random) {
  switch ((*random)() % 32) {
    case 0:
      cancel_after = (*random)() % 2 == 0 ? std::nullopt : std::optional<size_t>((*random)() % 4);
      return;
    case 1:  // the same bytes to another RPC
      body = RequestBytes().value_or(body);
      raw = true;
      rpc = (*random)() % std::size(kRpcs);
      return;
    case 2:
      body = RequestBytes().value_or(body);
      raw = true;
      break;
    default:
      break;
  }
  const auto request = NewRequest();
  const bool parsed = raw ? request->ParseFromString(body) : FromText(body, request.get());
  if (!parsed || (raw && (*random)() % 2 == 0)) {
    body = DamagedBytes(std::move(body));
    return;
  }
  MutateMessage(request.get(), random);
  body = raw ? request->SerializeAsString() : ToText(*request);
}

}  // namespace winnow
