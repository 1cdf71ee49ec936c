// The steps that decoders are made of. See decoder.h.
#ifndef WINNOW_MODEL_TOKENIZER_DECODER_STEPS_H_
#define WINNOW_MODEL_TOKENIZER_DECODER_STEPS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/decoder.h"
#include "model/tokenizer/metaspace.h"

namespace winnow {

// Puts a space between tokens.
std::unique_ptr<DecoderStep> MakeJoinStep();

// Tokens of the byte alphabet become bytes, all bytes of the stream one text; broken UTF-8 becomes
// U+FFFD, one for each maximal subpart. REQUIRES: gets whole tokens.
std::unique_ptr<DecoderStep> MakeByteLevelStep();

// "<0xE4>" becomes the byte, neighbouring bytes one token. REQUIRES: gets whole tokens.
std::unique_ptr<DecoderStep> MakeByteFallbackStep();

// All tokens become one.
std::unique_ptr<DecoderStep> MakeFuseStep();

// Takes up to `start` characters `content` from each token's front and up to `stop` from its end.
std::unique_ptr<DecoderStep> MakeStripStep(char32_t content, uint32_t start, uint32_t stop);

// Replaces each `pattern` in a token. REQUIRES: pattern is not empty.
std::unique_ptr<DecoderStep> MakeReplaceStep(std::string pattern, std::string content);

// The replacement becomes a space, in the first token nothing where a prefix was prepended.
std::unique_ptr<DecoderStep> MakeMetaspaceStep(const MetaspaceOptions& options);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_DECODER_STEPS_H_
