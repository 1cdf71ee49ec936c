// Random changes to a protobuf message that keep it one: for fuzz targets that take messages.
#ifndef WINNOW_TESTS_FUZZ_PROTO_MUTATOR_H_
#define WINNOW_TESTS_FUZZ_PROTO_MUTATOR_H_

#include <random>

#include "google/protobuf/message.h"

namespace winnow {

// One change of one field, at any depth: cleared, set to a boundary or any other value, an entry
// more or less, or a great many entries. Strings may end up as no UTF-8.
void MutateMessage(google::protobuf::Message* message, std::minstd_rand* random);

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_PROTO_MUTATOR_H_
