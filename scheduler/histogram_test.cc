#include "scheduler/histogram.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;

constexpr double kBounds[] = {0, 1, 2.5};

TEST(HistogramTest, CountsUpToAndIncludingEachBound) {
  Histogram histogram(kBounds);
  for (const double value : {0.0, 0.5, 1.0, 1.01, 2.5, 2.6, 1e9}) histogram.Add(value);
  const HistogramCounts read = histogram.Read();
  EXPECT_THAT(read.bounds, ElementsAre(0, 1, 2.5));
  EXPECT_THAT(read.counts, ElementsAre(1, 2, 2, 2));
  EXPECT_EQ(read.count(), 7u);
  EXPECT_DOUBLE_EQ(read.sum, 0.0 + 0.5 + 1.0 + 1.01 + 2.5 + 2.6 + 1e9);
}

TEST(HistogramTest, BeginsEmpty) {
  const HistogramCounts read = Histogram(kBounds).Read();
  EXPECT_THAT(read.counts, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(read.sum, 0);
}

TEST(HistogramTest, CountsOnlyGrowForAReaderBesideTheWriter) {
  constexpr uint64_t kValues = 200'000;
  Histogram histogram(kBounds);
  std::thread writer([&] {
    for (uint64_t i = 0; i < kValues; ++i) histogram.Add(static_cast<double>(i % 4));
  });
  uint64_t before = 0;
  while (before < kValues) {
    const uint64_t count = histogram.Read().count();
    ASSERT_GE(count, before);
    ASSERT_LE(count, kValues);
    before = count;
  }
  writer.join();
  EXPECT_THAT(histogram.Read().counts,
              ElementsAre(kValues / 4, kValues / 4, kValues / 4, kValues / 4));
}

}  // namespace
}  // namespace winnow
