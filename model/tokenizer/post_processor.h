// Post-processors: the special tokens that tokenizer.json puts around an encoded text.
//
// Supported: TemplateProcessing (its "single" form; pairs of texts are not encoded here), ByteLevel
// (changes offsets only, which are not kept), Sequence.
#ifndef WINNOW_MODEL_TOKENIZER_POST_PROCESSOR_H_
#define WINNOW_MODEL_TOKENIZER_POST_PROCESSOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/vocabulary.h"

namespace winnow {

struct SpecialTokenFrame {
  std::vector<uint32_t> prefix;
  std::vector<uint32_t> suffix;
};

// InvalidArgument names the field that is wrong or not supported, also ids that `vocabulary` lacks.
absl::StatusOr<SpecialTokenFrame> LoadPostProcessor(JsonObject object,
                                                    const Vocabulary& vocabulary);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_POST_PROCESSOR_H_
