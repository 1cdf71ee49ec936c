// Decoders: how tokenizer.json turns the texts of tokens back into the text they came from, token
// by token.
//
// Supported: ByteLevel, ByteFallback, Fuse, Strip, Replace (string), Metaspace, Sequence; none at
// all joins the tokens with spaces. A Decoder is a value: the steps with their state in one stream
// of tokens. Its memory does not grow with the stream, and what it hands out is whole UTF-8 at any
// moment.
//
// It equals the reference implementation, which sees all tokens at once, but for ByteFallback:
// there, one bad byte turns every byte of an unbroken run of byte tokens into U+FFFD, also the
// whole characters before it, so nothing of a run could be shown until it ends. Here characters are
// final once whole; each byte that belongs to none becomes one U+FFFD.
//
// Not thread-safe: a copy for each stream.
#ifndef WINNOW_MODEL_TOKENIZER_DECODER_H_
#define WINNOW_MODEL_TOKENIZER_DECODER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"

namespace winnow {

// A token's text on its way through the steps, or a part of it.
struct TokenPiece {
  std::string_view text;
  bool begins;  // the token's first piece
  bool ends;    // its last one
};

class DecoderStep {
 public:
  using Sink = absl::FunctionRef<void(const TokenPiece&)>;

  virtual ~DecoderStep() = default;
  virtual std::unique_ptr<DecoderStep> Clone() const = 0;
  // Takes a piece and gives what is ready to `next`.
  virtual void Push(const TokenPiece& piece, Sink next) = 0;
  // No more pieces come: gives what is left.
  virtual void Finish(Sink next) { static_cast<void>(next); }
  // The stream goes on where another text stopped: what holds for a text's first token does not.
  virtual void StartMidText() {}
};

class Decoder {
 public:
  // Reads the "decoder" object; nullptr stands for none. InvalidArgument names the field that is
  // wrong or not supported.
  static absl::StatusOr<Decoder> Load(const nlohmann::json* json);

  Decoder(const Decoder& other);
  Decoder& operator=(const Decoder& other);
  Decoder(Decoder&&) = default;
  Decoder& operator=(Decoder&&) = default;

  // REQUIRES: nothing was pushed yet.
  void StartMidText();
  // Appends to `out` the text that this token completes. REQUIRES: token is valid UTF-8.
  void Push(std::string_view token, std::string* out);
  // Appends the rest. The decoder is spent afterwards.
  void Finish(std::string* out);

 private:
  using Steps = std::vector<std::unique_ptr<DecoderStep>>;
  explicit Decoder(Steps steps) : steps_(std::move(steps)) {}

  void Feed(size_t step, const TokenPiece& piece, std::string* out);

  Steps steps_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_DECODER_H_
