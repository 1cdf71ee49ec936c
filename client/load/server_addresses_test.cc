#include "client/load/server_addresses.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ServerAddressesTest, OneServerIsLeftAsItIs) {
  for (const char* server : {"host:1", "dns:///host:1", "unix:/tmp/s"}) {
    EXPECT_EQ(*TargetOf({server}), server);
  }
}

TEST(ServerAddressesTest, SeveralBecomeNumbers) {
  EXPECT_EQ(*TargetOf({"127.0.0.1:5", "127.0.0.2:6"}), "ipv4:127.0.0.1:5,127.0.0.2:6");
  EXPECT_EQ(*TargetOf({"[::1]:5", "[::2]:6"}), "ipv6:[::1]:5,[::2]:6");
}

TEST(ServerAddressesTest, ErrorsNameTheServer) {
  EXPECT_THAT(TargetOf({"127.0.0.1:5", "host"}).status().message(),
              AllOf(HasSubstr("--server=host"), HasSubstr("HOST:PORT")));
  EXPECT_THAT(TargetOf({"127.0.0.1:5", "127.0.0.1:http-no-such"}).status().message(),
              HasSubstr("--server=127.0.0.1:http-no-such"));
  EXPECT_THAT(TargetOf({"127.0.0.1:5", "[::1]:6"}).status().message(),
              AllOf(HasSubstr("--server=[::1]:6"), HasSubstr("all IPv6")));
}

}  // namespace
}  // namespace winnow::load
