#include "model/tokenizer/metaspace.h"

#include <optional>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Prepend = MetaspaceOptions::Prepend;

absl::StatusOr<Prepend> ReadPrepend(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> scheme,
                          object->OptionalString("prepend_scheme"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> add_prefix_space,
                          object->OptionalBool("add_prefix_space"));
  Prepend prepend = Prepend::kAlways;
  if (scheme == "first") {
    prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Prepend::kNever;
  } else if (scheme.has_value() && scheme != "always") {
    return object->Error("prepend_scheme", "unknown scheme \"", *scheme, "\"");
  }
  if (add_prefix_space == false) {
    if (prepend == Prepend::kFirst || scheme == "always") {
      return object->Error("add_prefix_space", "false contradicts prepend_scheme");
    }
    prepend = Prepend::kNever;
  } else if (add_prefix_space == true && prepend == Prepend::kNever) {
    return object->Error("add_prefix_space", "true contradicts prepend_scheme");
  }
  return prepend;
}

}  // namespace

absl::StatusOr<MetaspaceOptions> ReadMetaspace(JsonObject* object) {
  MetaspaceOptions options;
  WINNOW_ASSIGN_OR_RETURN(options.replacement, object->String("replacement"));
  if (CountUtf8(options.replacement) != 1) {
    return object->Error("replacement", "expected one character");
  }
  WINNOW_ASSIGN_OR_RETURN(options.prepend, ReadPrepend(object));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> split, object->OptionalBool("split"));
  options.split = split.value_or(true);
  object->Ignore({"str_rep"});  // older files: the replacement once more
  WINNOW_RETURN_IF_ERROR(object->Close());
  return options;
}

}  // namespace winnow
