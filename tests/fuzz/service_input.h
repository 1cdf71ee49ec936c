// The input of the service's fuzz target: one call, as text that can be read and edited.
//
//   generate                     the RPC: generate, tokenize, detokenize, info or load
//   text: "hello"                its request as a text proto
//   stop { max_tokens: 3 }
//
// "generate raw" is followed by bytes to send as they are instead; "cancel=2" at the end of the
// first line cancels once two messages have come.
#ifndef WINNOW_TESTS_FUZZ_SERVICE_INPUT_H_
#define WINNOW_TESTS_FUZZ_SERVICE_INPUT_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace winnow {

struct ServiceInput {
  size_t rpc = 0;  // index into kRpcs
  bool raw = false;
  std::optional<size_t> cancel_after;
  std::string body;

  static std::optional<ServiceInput> Parse(std::string_view input);
  std::string Format() const;

  // The RPC's full name, and an empty request of its type.
  std::string method() const;
  std::unique_ptr<google::protobuf::Message> NewRequest() const;
  // What is sent; nothing if the body is no text proto of the request.
  std::optional<std::string> RequestBytes() const;

  // One random change.
  void Mutate(std::minstd_rand* random);
};

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_SERVICE_INPUT_H_
