#include "server/errors.h"

#include <optional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

google::rpc::Status Decoded(const absl::Status& status) {
  google::rpc::Status rpc;
  EXPECT_TRUE(rpc.ParseFromString(SerializedRpcStatus(status)));
  EXPECT_EQ(rpc.code(), static_cast<int>(status.code()));
  EXPECT_EQ(rpc.message(), status.message());
  return rpc;
}

template <typename Detail>
Detail The(const google::rpc::Status& rpc) {
  Detail detail;
  for (const auto& any : rpc.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << "no " << Detail::descriptor()->full_name() << " in " << rpc.DebugString();
  return detail;
}

TEST(ErrorsTest, InvalidFieldNamesIt) {
  const absl::Status status = InvalidField("sampling.top_p", "is 2; it must be in (0, 1]");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "sampling.top_p is 2; it must be in (0, 1]");
  const auto detail = The<google::rpc::BadRequest>(Decoded(status));
  ASSERT_THAT(detail.field_violations(), SizeIs(1));
  EXPECT_EQ(detail.field_violations(0).field(), "sampling.top_p");
  EXPECT_EQ(detail.field_violations(0).description(), "is 2; it must be in (0, 1]");
}

TEST(ErrorsTest, UnsupportedFieldNamesIt) {
  const absl::Status status = UnsupportedField("sampling.min_p");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  const auto detail = The<google::rpc::ErrorInfo>(Decoded(status));
  EXPECT_EQ(detail.metadata().at("field"), "sampling.min_p");
  EXPECT_EQ(detail.reason(), "UNSUPPORTED_FIELD");
  EXPECT_EQ(detail.domain(), "winnow");
}

TEST(ErrorsTest, UnknownModelNamesBoth) {
  const absl::Status status = UnknownModel("gpt", "demo");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'gpt'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'demo'"));
  EXPECT_EQ(The<google::rpc::ErrorInfo>(Decoded(status)).metadata().at("model"), "gpt");
}

TEST(ErrorsTest, LongValuesAreCutAtWholeCharacters) {
  std::string name;
  while (name.size() < 100'000) name += "\xe2\x82\xac";  // three bytes each: 256 is inside of one
  const absl::Status status = UnknownModel(name, "demo");
  EXPECT_LT(status.message().size(), 1000u);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\xe2\x82\xac...'"));
}

TEST(ErrorsTest, QueueFullSaysWhenToComeBack) {
  const absl::Status status = QueueFull("1024 requests wait already");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const auto rpc = Decoded(status);
  EXPECT_EQ(The<google::rpc::QuotaFailure>(rpc).violations(0).subject(), "queue");
  EXPECT_EQ(The<google::rpc::RetryInfo>(rpc).retry_delay().seconds(), 1);
  EXPECT_EQ(RetryDelay(status), absl::Seconds(1));
}

TEST(ErrorsTest, SlowReaderIsNotToldToComeBack) {
  const absl::Status status = ReaderTooSlow(4096);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(The<google::rpc::QuotaFailure>(Decoded(status)).violations(0).description(),
              HasSubstr("4096"));
  EXPECT_EQ(RetryDelay(status), std::nullopt);
}

TEST(ErrorsTest, DrainingSaysWhenToComeBack) {
  EXPECT_EQ(Draining().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(The<google::rpc::RetryInfo>(Decoded(Draining())).retry_delay().seconds(), 1);
}

TEST(ErrorsTest, InternalFaultCarriesTheRequestId) {
  const absl::Status status = InternalFault("r-17", "NaN logits");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(The<google::rpc::ErrorInfo>(Decoded(status)).metadata().at("request_id"), "r-17");
}

TEST(ErrorsTest, NoTokenizerSaysWhatNeedsIt) {
  const absl::Status status = NoTokenizer("a text prompt");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a text prompt needs a tokenizer"));
  EXPECT_EQ(The<google::rpc::ErrorInfo>(Decoded(status)).reason(), "NO_TOKENIZER");
}

TEST(ErrorsTest, TokenProblemsSayWhich) {
  const std::pair<absl::Status, std::string> cases[] = {{TokenMissing(), "TOKEN_MISSING"},
                                                        {TokenMalformed(), "TOKEN_MALFORMED"},
                                                        {TokenUnknown(), "TOKEN_UNKNOWN"}};
  for (const auto& [status, reason] : cases) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(The<google::rpc::ErrorInfo>(Decoded(status)).reason(), reason);
  }
}

TEST(ErrorsTest, WhatATenantMayNotDoNamesItAndTheLimit) {
  const auto rpc = The<google::rpc::ErrorInfo>(Decoded(RpcNotAllowed("t", "GetLoad")));
  EXPECT_EQ(rpc.metadata().at("tenant"), "t");
  EXPECT_EQ(rpc.metadata().at("rpc"), "GetLoad");
  const absl::Status priority = PriorityTooHigh("t", 5, -1);
  EXPECT_EQ(priority.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(The<google::rpc::ErrorInfo>(Decoded(priority)).metadata().at("max_priority"), "-1");
}

TEST(ErrorsTest, QuotaComesWithTheTimeInWholeMillisecondsAbove) {
  const absl::Status status = OverQuota("t", 30, 600, absl::Microseconds(2'500'001));
  const auto rpc = Decoded(status);
  EXPECT_EQ(The<google::rpc::QuotaFailure>(rpc).violations(0).subject(), "tenant:t");
  const auto delay = The<google::rpc::RetryInfo>(rpc).retry_delay();
  EXPECT_EQ(delay.seconds(), 2);
  EXPECT_EQ(delay.nanos(), 501'000'000);
  EXPECT_EQ(RetryDelay(TooManyRequests("t", 3)), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(NeverInQuota("t", 700, 600)), std::nullopt);
}

}  // namespace
}  // namespace winnow
