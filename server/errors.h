// The errors that this server answers with: absl::Status with google.rpc details as payloads.
//
// One function per row of the status table, so that a kind of failure looks the same wherever it
// arises:
//
//   case                                   code                 details
//   bad parameter, can never fit           INVALID_ARGUMENT     BadRequest with the field
//   unknown model                          NOT_FOUND            ErrorInfo
//   queue full, reader too slow,
//   tenant over quota                      RESOURCE_EXHAUSTED   QuotaFailure, RetryInfo
//   draining                               UNAVAILABLE          RetryInfo
//   token missing or unknown               UNAUTHENTICATED      ErrorInfo
//   known caller, not allowed this         PERMISSION_DENIED    ErrorInfo
//   field that is not supported            UNIMPLEMENTED        ErrorInfo naming the field
//   text without tokenizer                 FAILED_PRECONDITION  ErrorInfo
//   our own fault                          INTERNAL             ErrorInfo with the request's id
//
// A field is named by its path in the request, like "sampling.top_p" or "token_ids.ids[3]". Pure
// functions.
#ifndef WINNOW_SERVER_ERRORS_H_
#define WINNOW_SERVER_ERRORS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace winnow {

// `why` follows the field's name: InvalidField("stop.stop", "has 17 entries; at most 16 are
// allowed").
absl::Status InvalidField(absl::string_view field, absl::string_view why);

absl::Status UnsupportedField(absl::string_view field);

absl::Status UnknownModel(absl::string_view asked, absl::string_view served);

// `what` needs a tokenizer: "a text prompt".
absl::Status NoTokenizer(absl::string_view what);

absl::Status QueueFull(absl::string_view why);

absl::Status ReaderTooSlow(int64_t buffered_tokens);

absl::Status Draining();

// Of the caller's bearer token, none of which ever show it: no metadata "authorization", more than
// one or not "Bearer TOKEN", nobody's.
absl::Status TokenMissing();
absl::Status TokenMalformed();
absl::Status TokenUnknown();

absl::Status RpcNotAllowed(absl::string_view tenant, absl::string_view rpc);
absl::Status PriorityTooHigh(absl::string_view tenant, int32_t priority, int32_t max_priority);

// A tenant's limits. The subject is "tenant:NAME". There will be `tokens` after `wait`; there never
// will be in NeverInQuota, which says not to retry.
absl::Status TooManyRequests(absl::string_view tenant, int64_t max_requests);
absl::Status OverQuota(absl::string_view tenant, int64_t tokens, int64_t tokens_per_minute,
                       absl::Duration wait);
absl::Status NeverInQuota(absl::string_view tenant, int64_t tokens, int64_t tokens_per_minute);

absl::Status InternalFault(absl::string_view request_id, absl::string_view why);

// Whether it is one of a tenant's limits that a status of RESOURCE_EXHAUSTED is about.
bool IsTenantLimit(const absl::Status& status);

// What the RetryInfo of a status says, if it has one.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// The status as a serialized google.rpc.Status with its payloads as details: the value of the
// trailer grpc-status-details-bin.
std::string SerializedRpcStatus(const absl::Status& status);

}  // namespace winnow

#endif  // WINNOW_SERVER_ERRORS_H_
