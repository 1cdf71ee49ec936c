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

INSTANTIATE_TEST_SUITE_P(Shapes, ReferenceTest, testing::ValuesIn(ReferenceCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace winnow
