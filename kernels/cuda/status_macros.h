// WINNOW_RETURN_IF_ERROR(expression): leaves the enclosing function with the expression's
// absl::Status if that is not OK.
#ifndef WINNOW_KERNELS_CUDA_STATUS_MACROS_H_
#define WINNOW_KERNELS_CUDA_STATUS_MACROS_H_

#include "absl/status/status.h"

#define WINNOW_RETURN_IF_ERROR(expression)                               \
  do {                                                                   \
    if (absl::Status status = (expression); !status.ok()) return status; \
  } while (false)

#endif  // WINNOW_KERNELS_CUDA_STATUS_MACROS_H_
