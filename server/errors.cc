#include "server/errors.h"

#include <cmath>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/message.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow {
namespace {

constexpr char kDomain[] = "winnow";
constexpr char kTenantSubject[] = "tenant:";  // then its name
constexpr char kTypePrefix[] = "type.googleapis.com/";
// After which a refused client may try again: steps take milliseconds to a second.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);
// Trailers have room for a few KiB, and clients choose some of these strings.
constexpr size_t kMaxEcho = 256;

std::string Echo(absl::string_view text) {
  if (text.size() <= kMaxEcho) return std::string(text);
  size_t end = kMaxEcho;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // whole UTF-8
  return absl::StrCat(text.substr(0, end), "...");
}

std::string TypeUrl(const google::protobuf::Message& detail) {
  return absl::StrCat(kTypePrefix, detail.GetDescriptor()->full_name());
}

void Attach(absl::Status& status, const google::protobuf::Message& detail) {
  status.SetPayload(TypeUrl(detail), absl::Cord(detail.SerializeAsString()));
}

google::rpc::ErrorInfo Info(absl::string_view reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kDomain);
  return info;
}

// In whole milliseconds, like the trailer; rounded up, so that nobody comes back too early.
void AttachRetry(absl::Status& status, absl::Duration delay = kRetryDelay) {
  delay = absl::Ceil(delay, absl::Milliseconds(1));
  google::rpc::RetryInfo retry;
  const int64_t seconds = absl::IDivDuration(delay, absl::Seconds(1), &delay);
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(delay)));
  Attach(status, retry);
}

absl::Status Exhausted(absl::string_view subject, absl::string_view why) {
  absl::Status status = absl::ResourceExhaustedError(why);
  google::rpc::QuotaFailure quota;
  auto* violation = quota.add_violations();
  violation->set_subject(std::string(subject));
  violation->set_description(std::string(why));
  Attach(status, quota);
  return status;
}

absl::Status Unauthenticated(absl::string_view reason, absl::string_view why) {
  absl::Status status = absl::UnauthenticatedError(why);
  Attach(status, Info(reason));
  return status;
}

absl::Status PermissionDenied(google::rpc::ErrorInfo info, absl::string_view tenant,
                              absl::string_view why) {
  absl::Status status = absl::PermissionDeniedError(absl::StrCat("tenant ", tenant, " ", why));
  (*info.mutable_metadata())["tenant"] = std::string(tenant);
  Attach(status, info);
  return status;
}

absl::Status TenantExhausted(absl::string_view tenant, absl::string_view why) {
  return Exhausted(absl::StrCat(kTenantSubject, tenant), absl::StrCat("tenant ", tenant, " ", why));
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view why) {
  const std::string description = Echo(why);
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, " ", description));
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(description);
  Attach(status, bad_request);
  return status;
}

absl::Status UnsupportedField(absl::string_view field) {
  absl::Status status =
      absl::UnimplementedError(absl::StrCat(field, " is not supported by this server"));
  google::rpc::ErrorInfo info = Info("UNSUPPORTED_FIELD");
  (*info.mutable_metadata())["field"] = std::string(field);
  Attach(status, info);
  return status;
}

absl::Status UnknownModel(absl::string_view asked, absl::string_view served) {
  absl::Status status = absl::NotFoundError(
      absl::StrCat("model '", Echo(asked), "' is not here; this server has '", served, "'"));
  google::rpc::ErrorInfo info = Info("UNKNOWN_MODEL");
  (*info.mutable_metadata())["model"] = Echo(asked);
  Attach(status, info);
  return status;
}

absl::Status NoTokenizer(absl::string_view what) {
  absl::Status status = absl::FailedPreconditionError(
      absl::StrCat(what, " needs a tokenizer, and this model came without tokenizer.json"));
  Attach(status, Info("NO_TOKENIZER"));
  return status;
}

absl::Status QueueFull(absl::string_view why) {
  absl::Status status = Exhausted("queue", why);
  AttachRetry(status);
  return status;
}

absl::Status ReaderTooSlow(int64_t buffered_tokens) {
  return Exhausted("stream", absl::StrCat("the client reads too slowly: ", buffered_tokens,
                                          " output tokens were waiting to be read"));
}

absl::Status Draining() {
  absl::Status status = absl::UnavailableError("the server is shutting down");
  AttachRetry(status);
  return status;
}

absl::Status TokenMissing() {
  return Unauthenticated("TOKEN_MISSING",
                         "this server wants metadata 'authorization: Bearer TOKEN'");
}

absl::Status TokenMalformed() {
  return Unauthenticated("TOKEN_MALFORMED",
                         "the metadata 'authorization' must be there once, as 'Bearer TOKEN'");
}

absl::Status TokenUnknown() {
  return Unauthenticated("TOKEN_UNKNOWN", "the bearer token is not known to this server");
}

absl::Status RpcNotAllowed(absl::string_view tenant, absl::string_view rpc) {
  google::rpc::ErrorInfo info = Info("RPC_NOT_ALLOWED");
  (*info.mutable_metadata())["rpc"] = std::string(rpc);
  return PermissionDenied(info, tenant, absl::StrCat("may not call ", rpc));
}

absl::Status PriorityTooHigh(absl::string_view tenant, int32_t priority, int32_t max_priority) {
  google::rpc::ErrorInfo info = Info("PRIORITY_TOO_HIGH");
  (*info.mutable_metadata())["max_priority"] = absl::StrCat(max_priority);
  return PermissionDenied(
      info, tenant,
      absl::StrCat("may not ask for priority ", priority, ", only up to ", max_priority));
}

absl::Status TooManyRequests(absl::string_view tenant, int64_t max_requests) {
  absl::Status status = TenantExhausted(
      tenant, absl::StrCat("has as many requests running as it may: ", max_requests));
  AttachRetry(status);
  return status;
}

absl::Status OverQuota(absl::string_view tenant, int64_t tokens, int64_t tokens_per_minute,
                       absl::Duration wait) {
  absl::Status status =
      TenantExhausted(tenant, absl::StrCat("may use ", tokens_per_minute,
                                           " tokens per minute, and too few are left "
                                           "for the ",
                                           tokens, " of this request"));
  AttachRetry(status, wait);
  return status;
}

absl::Status NeverInQuota(absl::string_view tenant, int64_t tokens, int64_t tokens_per_minute) {
  return TenantExhausted(tenant, absl::StrCat("may use ", tokens_per_minute,
                                              " tokens per minute, which this request alone, with ",
                                              tokens, " of prompt and max_tokens, would exceed"));
}

absl::Status InternalFault(absl::string_view request_id, absl::string_view why) {
  absl::Status status =
      absl::InternalError(absl::StrCat("request ", request_id, " failed: ", Echo(why)));
  google::rpc::ErrorInfo info = Info("INTERNAL");
  (*info.mutable_metadata())["request_id"] = std::string(request_id);
  Attach(status, info);
  return status;
}

bool IsTenantLimit(const absl::Status& status) {
  google::rpc::QuotaFailure quota;
  const auto payload = status.GetPayload(TypeUrl(quota));
  return payload.has_value() && quota.ParseFromString(std::string(*payload)) &&
         quota.violations_size() > 0 &&
         absl::StartsWith(quota.violations(0).subject(), kTenantSubject);
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  google::rpc::RetryInfo retry;
  const auto payload = status.GetPayload(TypeUrl(retry));
  if (!payload.has_value() || !retry.ParseFromString(std::string(*payload))) return std::nullopt;
  return absl::Seconds(retry.retry_delay().seconds()) +
         absl::Nanoseconds(retry.retry_delay().nanos());
}

std::string SerializedRpcStatus(const absl::Status& status) {
  google::rpc::Status rpc;
  rpc.set_code(static_cast<int>(status.code()));
  rpc.set_message(std::string(status.message()));
  status.ForEachPayload([&rpc](absl::string_view type_url, const absl::Cord& payload) {
    google::protobuf::Any* detail = rpc.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(payload));
  });
  return rpc.SerializeAsString();
}

}  // namespace winnow
