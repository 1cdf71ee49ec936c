// Early return on errors, for this folder's loaders.
//
//   WINNOW_RETURN_IF_ERROR(object.Close());
//   WINNOW_ASSIGN_OR_RETURN(const bool invert, object.Bool("invert"));
#ifndef WINNOW_MODEL_TOKENIZER_STATUS_MACROS_H_
#define WINNOW_MODEL_TOKENIZER_STATUS_MACROS_H_

#include <utility>

#define WINNOW_RETURN_IF_ERROR(expression)                                            \
  do {                                                                                \
    if (auto winnow_status = (expression); !winnow_status.ok()) return winnow_status; \
  } while (false)

#define WINNOW_STATUS_CONCAT_(a, b) a##b
#define WINNOW_STATUS_CONCAT(a, b) WINNOW_STATUS_CONCAT_(a, b)
#define WINNOW_ASSIGN_OR_RETURN_(temporary, target, expression) \
  auto temporary = (expression);                                \
  if (!temporary.ok()) return temporary.status();               \
  target = *std::move(temporary)
#define WINNOW_ASSIGN_OR_RETURN(target, expression) \
  WINNOW_ASSIGN_OR_RETURN_(WINNOW_STATUS_CONCAT(winnow_statusor_, __LINE__), target, expression)

#endif  // WINNOW_MODEL_TOKENIZER_STATUS_MACROS_H_
