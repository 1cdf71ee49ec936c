// What a fuzz target defines, under the names that libFuzzer prescribes
// (https://llvm.org/docs/LibFuzzer.html). A target that finds something wrong says so with
// WINNOW_CHECK: whatever ends the process counts as found.
#ifndef WINNOW_TESTS_FUZZ_TARGET_H_
#define WINNOW_TESTS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>

extern "C" {

// Runs one input. Returns 0; or -1 for an input that shall not come into the corpus.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Optional. Mutates `size` of the at most `max_size` bytes of `data` in place, and returns how many
// there are now. The target's own way keeps the input's structure.
size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed);

// Given to targets: damages bytes at random, as above.
size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

}  // extern "C"

#endif  // WINNOW_TESTS_FUZZ_TARGET_H_
