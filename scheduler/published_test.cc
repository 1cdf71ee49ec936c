#include "scheduler/published.h"

#include <cstdint>
#include <thread>

#include "gtest/gtest.h"

namespace winnow {
namespace {

struct Numbers {
  uint64_t a = 0, b = 0, c = 0, d = 0;
};

TEST(PublishedTest, ReadsWhatWasWrittenLast) {
  Published<Numbers> published({1, 2, 3, 4});
  EXPECT_EQ(published.Read().d, 4u);
  published.Write({5, 6, 7, 8});
  EXPECT_EQ(published.Read().a, 5u);
  EXPECT_EQ(published.Read().d, 8u);
}

TEST(PublishedTest, ReadersSeeOneWriteOrAnotherNeverHalf) {
  constexpr uint64_t kWrites = 200'000;
  Published<Numbers> published(Numbers{});
  std::thread writer([&] {
    for (uint64_t i = 1; i <= kWrites; ++i) published.Write({i, 2 * i, 3 * i, 4 * i});
  });
  const auto read_all = [&] {
    for (uint64_t before = 0; before < kWrites;) {
      const Numbers now = published.Read();
      ASSERT_GE(now.a, before);
      ASSERT_EQ(now.b, 2 * now.a);
      ASSERT_EQ(now.c, 3 * now.a);
      ASSERT_EQ(now.d, 4 * now.a);
      before = now.a;
    }
  };
  std::thread other_reader(read_all);
  read_all();
  other_reader.join();
  writer.join();
}

}  // namespace
}  // namespace winnow
