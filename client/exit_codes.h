// winnow-client's exit codes: what a script may do next.
#ifndef WINNOW_CLIENT_EXIT_CODES_H_
#define WINNOW_CLIENT_EXIT_CODES_H_

#include "absl/status/status.h"

namespace winnow {

inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 1;
inline constexpr int kExitTryLater = 2;
inline constexpr int kExitRefused = 3;
inline constexpr int kExitStopped = 4;
inline constexpr int kExitOther = 5;

inline constexpr char kExitCodesHelp[] =
    "Exit codes: 0 answered; 1 wrong usage; 2 server not reachable, shutting down or too busy: "
    "try\n"
    "again later; 3 the server refuses this request; 4 timed out or cancelled (Ctrl-C); 5 any "
    "other\n"
    "error.";

// The exit code for a call's status.
inline int ExitCodeFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return kExitTryLater;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kExitRefused;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kExitStopped;
    default:
      return kExitOther;
  }
}

}  // namespace winnow

#endif  // WINNOW_CLIENT_EXIT_CODES_H_
