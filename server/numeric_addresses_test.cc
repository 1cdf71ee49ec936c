#include "server/numeric_addresses.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;

TEST(NumericAddressesTest, WhatHasNoNameStays) {
  for (const char* address : {"127.0.0.1:0", "0.0.0.0:50051", "[::1]:80", "[::]:0", "unix:/tmp/a:b",
                              "unix:localhost:1"}) {
    EXPECT_THAT(NumericAddresses(address), ElementsAre(address));
  }
}

TEST(NumericAddressesTest, NamesAreResolvedOnceEach) {
  EXPECT_THAT(NumericAddresses("localhost:81"), Contains("127.0.0.1:81").Times(1));
  EXPECT_THAT(NumericAddresses("localhost:81"), Each(AnyOf("127.0.0.1:81", "[::1]:81")));
}

TEST(NumericAddressesTest, WhatCannotBeResolvedStays) {
  EXPECT_THAT(NumericAddresses("no such host:1"), ElementsAre("no such host:1"));
}

}  // namespace
}  // namespace winnow
