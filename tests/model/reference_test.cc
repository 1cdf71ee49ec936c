// The served model on the CPU against the float64 reference.
#include "gtest/gtest.h"
#include "tests/model/reference_comparison.h"

namespace winnow {
namespace {

class ReferenceTest : public testing::TestWithParam<ReferenceCase> {};

TEST_P(ReferenceTest, ServedModelEqualsReference) {
  ExpectEqualsReference(GetParam(),
                        {.pieces = {1, 7, 16, 64, 256}, .page_tokens = {1, 5, 16}, .bound = 2e-4});
}

// A prompt cut into single tokens runs in the ring form from its first token to its last.
TEST_P(ReferenceTest, ServedModelWithStateRingsEqualsReference) {
  ExpectEqualsReference(
      GetParam(),
      {.pieces = {1, 7}, .page_tokens = {16}, .state_rings = {2, 16, 32}, .bound = 2e-4});
}

INSTANTIATE_TEST_SUITE_P(Shapes, ReferenceTest, testing::ValuesIn(ReferenceCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace winnow
