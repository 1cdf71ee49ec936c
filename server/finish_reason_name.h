// How metrics and logs call a FinishReason.
#ifndef WINNOW_SERVER_FINISH_REASON_NAME_H_
#define WINNOW_SERVER_FINISH_REASON_NAME_H_

#include "scheduler/request.h"

namespace winnow {

constexpr const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

}  // namespace winnow

#endif  // WINNOW_SERVER_FINISH_REASON_NAME_H_
