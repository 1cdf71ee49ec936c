#include "server/units.h"

#include <string>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(UnitsTest, Sizes) {
  EXPECT_EQ(ParseBytes("4GiB").value(), int64_t{4} << 30);
  EXPECT_EQ(ParseBytes("1.5MiB").value(), 3 << 19);
  EXPECT_EQ(ParseBytes("4096").value(), 4096);
  EXPECT_EQ(ParseBytes("0").value(), 0);
  EXPECT_EQ(ParseBytes("12B").value(), 12);
  EXPECT_EQ(ParseBytes("2kB").value(), 2000);
  EXPECT_EQ(ParseBytes("3TB").value(), 3'000'000'000'000);
}

TEST(UnitsTest, WrongSizesAreRefused) {
  for (const char* text :
       {"", "GiB", "4 GiB", "4gib", "-1", "1e3", "1.2.3MiB", "4K", "0.3B", "99999999TiB", "nan"}) {
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
  }
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(ParseDuration("5s").value(), absl::Seconds(5));
  EXPECT_EQ(ParseDuration("250ms").value(), absl::Milliseconds(250));
  EXPECT_EQ(ParseDuration("1h30m").value(), absl::Minutes(90));
  EXPECT_EQ(ParseDuration("0").value(), absl::ZeroDuration());
  for (const char* text : {"", "5", "-1s", "inf", "5 s", "s", "1d"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(UnitsTest, FormatsExactly) {
  EXPECT_EQ(FormatBytes(int64_t{4} << 30), "4GiB");
  EXPECT_EQ(FormatBytes(64 << 20), "64MiB");
  EXPECT_EQ(FormatBytes(1000), "1000B");
  EXPECT_EQ(FormatBytes(0), "0B");
}

}  // namespace
}  // namespace winnow
