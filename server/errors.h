// The errors that this server answers with: absl::Status with google.rpc details as payloads.
//
// One function per row of the status table, so that a kind of failure looks the same wherever it
// arises:
//
//   case                                   code                 details
//   bad parameter, can never fit           INVALID_ARGUMENT     BadRequest with the field
//   unknown model                          NOT_FOUND            ErrorInfo
//   queue full, reader too slow            RESOURCE_EXHAUSTED   QuotaFailure, RetryInfo
//   draining                               UNAVAILABLE          RetryInfo
//   field that is not supported            UNIMPLEMENTED        ErrorInfo naming the field
//   text without tokenizer                 FAILED_PRECONDITION  ErrorInfo
//   our own fault                          INTERNAL             ErrorInfo with the request's id
//
// A field is named by its path in the request, like "sampling.top_p" or "token_ids.ids[3]". Pure
// functions.
#ifndef WINNOW_SERVER_ERRORS_H_
#define WINNOW_SERVER_ERRORS_H_

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

absl::Status InternalFault(absl::string_view request_id, absl::string_view why);

// What the RetryInfo of a status says, if it has one.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// The status as a serialized google.rpc.Status with its payloads as details: the value of the
// trailer grpc-status-details-bin.
std::string SerializedRpcStatus(const absl::Status& status);

}  // namespace winnow

#endif  // WINNOW_SERVER_ERRORS_H_
