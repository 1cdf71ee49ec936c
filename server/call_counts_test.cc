#include "server/call_counts.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/errors.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::map<std::string, uint64_t> Rejected(const CallCounts& counts) {
  std::map<std::string, uint64_t> rejected;
  for (size_t i = 0; i < kNumRejectReasons; ++i) {
    const auto reason = static_cast<RejectReason>(i);
    rejected[RejectReasonName(reason)] = counts.rejected(reason);
  }
  return rejected;
}

TEST(CallCountsTest, EveryErrorHasItsReason) {
  CallCounts counts;
  for (const absl::Status& status :
       {QueueFull("full"), TooManyRequests("one", 3), OverQuota("one", 1, 2, absl::Seconds(1)),
        NeverInQuota("one", 3, 2), Draining(), InvalidField("a", "is wrong"),
        UnknownModel("a", "b"), UnsupportedField("a"), NoTokenizer("a text"), TokenMissing(),
        TokenMalformed(), TokenUnknown(), RpcNotAllowed("one", "Generate"),
        PriorityTooHigh("one", 2, 1), InternalFault("r", "why")}) {
    counts.CountUntaken(status);
  }
  EXPECT_THAT(Rejected(counts),
              ElementsAre(Pair("draining", 1), Pair("internal", 1), Pair("invalid", 4),
                          Pair("permission_denied", 2), Pair("queue_full", 1),
                          Pair("tenant_limit", 3), Pair("unauthenticated", 3)));
  EXPECT_EQ(counts.cancelled() + counts.late(), 0u);
}

TEST(CallCountsTest, ClientsThatLeaveAreNotRejected) {
  CallCounts counts;
  counts.CountUntaken(absl::CancelledError(""));
  counts.CountUntaken(absl::DeadlineExceededError(""));
  counts.CountUntaken(absl::DeadlineExceededError(""));
  EXPECT_EQ(counts.cancelled(), 1u);
  EXPECT_EQ(counts.late(), 2u);
  for (const auto& [name, count] : Rejected(counts)) EXPECT_EQ(count, 0u) << name;
}

}  // namespace
}  // namespace winnow
