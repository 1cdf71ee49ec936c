#include "tests/fuzz/proto_mutator.h"

#include <cstdint>
#include <limits>
#include <string>

#include "tests/fuzz/target.h"

namespace winnow {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMany = 40;  // entries: above what a server allows of most fields

template <typename T, size_t N>
T OneOf(const T (&values)[N], std::minstd_rand* random) {
  return values[(*random)() % N];
}

uint64_t Integer(std::minstd_rand* random) {
  constexpr uint64_t kBoundaries[] = {0,
                                      1,
                                      2,
                                      3,
                                      8,
                                      16,
                                      17,
                                      20,
                                      21,
                                      100,
                                      1023,
                                      1024,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x7fffffffffffffff,
                                      0xffffffffffffffff};
  return (*random)() % 2 == 0 ? OneOf(kBoundaries, random) : (*random)() % 1100;
}

float Float(std::minstd_rand* random) {
  using Limits = std::numeric_limits<float>;
  constexpr float kBoundaries[] = {0,
                                   -0.0f,
                                   1,
                                   -1,
                                   2,
                                   -2,
                                   0.5f,
                                   Limits::min(),
                                   Limits::max(),
                                   Limits::lowest(),
                                   Limits::denorm_min(),
                                   Limits::epsilon(),
                                   1 + Limits::epsilon(),
                                   Limits::infinity(),
                                   -Limits::infinity(),
                                   Limits::quiet_NaN()};
  return (*random)() % 4 == 0 ? static_cast<float>((*random)() % 4000) / 1000 - 1
                              : OneOf(kBoundaries, random);
}

std::string String(std::string text, std::minstd_rand* random) {
  const char* const kPieces[] = {"",        "a", " ",  "fake", "\n\n", "the",
                                 "<|bos|>", "é", "世", "\xff", "\xc3"};
  switch ((*random)() % 4) {
    case 0:
      return OneOf(kPieces, random);
    case 1:
      return text + OneOf(kPieces, random);
    case 2:
      return text.size() < 600 ? text + text : text.substr(0, text.size() / 2);
    default: {
      const size_t size = text.size();
      text.resize(size + 16);
      text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, text.size()));
      return text;
    }
  }
}

void SetScalar(Message* message, const FieldDescriptor* field, std::minstd_rand* random) {
  const Reflection& reflection = *message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(message, field, (*random)() % 2 == 0);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.SetFloat(message, field, Float(random));
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.SetInt32(message, field, static_cast<int32_t>(Integer(random)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.SetUInt32(message, field, static_cast<uint32_t>(Integer(random)));
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(message, field, Integer(random));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(message, field,
                                  String(reflection.GetString(*message, field), random));
    default:
      return;  // the requests have no others
  }
}

void AddEntry(Message* message, const FieldDescriptor* field, std::minstd_rand* random) {
  const Reflection& reflection = *message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.AddUInt32(message, field, static_cast<uint32_t>(Integer(random)));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.AddString(message, field, String("stop", random));
    case FieldDescriptor::CPPTYPE_MESSAGE: {  // of a map
      Message* entry = reflection.AddMessage(message, field);
      SetScalar(entry, entry->GetDescriptor()->FindFieldByName("key"), random);
      SetScalar(entry, entry->GetDescriptor()->FindFieldByName("value"), random);
      return;
    }
    default:
      return;
  }
}

void MutateRepeated(Message* message, const FieldDescriptor* field, std::minstd_rand* random) {
  const Reflection& reflection = *message->GetReflection();
  const int size = reflection.FieldSize(*message, field);
  switch ((*random)() % 4) {
    case 0:
      if (size > 0) reflection.RemoveLast(message, field);
      return;
    case 1:
      for (int i = 0; size < kMany && i < kMany; ++i) AddEntry(message, field, random);
      return;
    default:
      AddEntry(message, field, random);
  }
}

}  // namespace

void MutateMessage(Message* message, std::minstd_rand* random) {
  const auto& descriptor = *message->GetDescriptor();
  if (descriptor.field_count() == 0) return;
  const FieldDescriptor* field =
      descriptor.field(static_cast<int>((*random)() % descriptor.field_count()));
  const Reflection& reflection = *message->GetReflection();
  if ((*random)() % 8 == 0) return reflection.ClearField(message, field);
  if (field->is_repeated()) return MutateRepeated(message, field, random);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return SetScalar(message, field, random);
  }
  MutateMessage(reflection.MutableMessage(message, field), random);
}

}  // namespace winnow
