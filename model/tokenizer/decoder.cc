#include "model/tokenizer/decoder.h"

#include <utility>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/decoder_steps.h"
#include "model/tokenizer/metaspace.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Step = std::unique_ptr<DecoderStep>;

absl::StatusOr<Step> LoadStrip(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const std::string content, object->String("content"));
  WINNOW_ASSIGN_OR_RETURN(const uint32_t start, object->Uint32("start"));
  WINNOW_ASSIGN_OR_RETURN(const uint32_t stop, object->Uint32("stop"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  if (CountUtf8(content) != 1) return object->Error("content", "expected one character");
  return MakeStripStep(DecodeUtf8(content, 0).code, start, stop);
}

absl::StatusOr<Step> LoadReplace(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(object, "pattern"));
  WINNOW_ASSIGN_OR_RETURN(std::string content, object->String("content"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  if (!pattern.is_literal) {
    return object->Error("pattern", "a Regex is not supported in a decoder (value \"",
                         pattern.source, "\")");
  }
  return MakeReplaceStep(std::move(pattern.source), std::move(content));
}

absl::StatusOr<Step> LoadMetaspace(JsonObject* object) {
  WINNOW_ASSIGN_OR_RETURN(const MetaspaceOptions options, ReadMetaspace(object));
  return MakeMetaspaceStep(options);
}

// Steps that read a token as a whole must come before those that hand out tokens in pieces.
struct StepList {
  std::vector<Step> steps;
  bool whole_tokens = true;
};

absl::Status AppendSteps(JsonObject object, StepList* list) {
  WINNOW_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") {
    WINNOW_ASSIGN_OR_RETURN(std::vector<JsonObject> items, object.ObjectArray("decoders"));
    WINNOW_RETURN_IF_ERROR(object.Close());
    for (JsonObject& item : items) WINNOW_RETURN_IF_ERROR(AppendSteps(std::move(item), list));
    return absl::OkStatus();
  }
  Step step;
  if (type == "Strip") {
    WINNOW_ASSIGN_OR_RETURN(step, LoadStrip(&object));
  } else if (type == "Replace") {
    WINNOW_ASSIGN_OR_RETURN(step, LoadReplace(&object));
  } else if (type == "Metaspace") {
    WINNOW_ASSIGN_OR_RETURN(step, LoadMetaspace(&object));
  } else if (type == "ByteLevel") {
    object.Ignore({"add_prefix_space", "trim_offsets", "use_regex"});  // for the way in only
    step = MakeByteLevelStep();
  } else if (type == "ByteFallback") {
    step = MakeByteFallbackStep();
  } else if (type == "Fuse") {
    step = MakeFuseStep();
  } else {
    return object.Error("type", "unsupported decoder \"", type, "\"");
  }
  WINNOW_RETURN_IF_ERROR(object.Close());
  const bool needs_whole = type == "ByteLevel" || type == "ByteFallback";
  if (needs_whole && !list->whole_tokens) {
    return object.Error("type", "\"", type,
                        "\" is not supported after ByteLevel, ByteFallback "
                        "or Fuse");
  }
  if (needs_whole || type == "Fuse") list->whole_tokens = false;
  list->steps.push_back(std::move(step));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Decoder> Decoder::Load(const nlohmann::json* json) {
  StepList list;
  if (json == nullptr) {
    list.steps.push_back(MakeJoinStep());
  } else {
    WINNOW_ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(*json, "decoder"));
    WINNOW_RETURN_IF_ERROR(AppendSteps(std::move(object), &list));
  }
  return Decoder(std::move(list.steps));
}

Decoder::Decoder(const Decoder& other) {
  for (const auto& step : other.steps_) steps_.push_back(step->Clone());
}

Decoder& Decoder::operator=(const Decoder& other) {
  if (this != &other) *this = Decoder(other);
  return *this;
}

void Decoder::StartMidText() {
  for (const auto& step : steps_) step->StartMidText();
}

void Decoder::Feed(size_t step, const TokenPiece& piece, std::string* out) {
  if (step == steps_.size()) {
    out->append(piece.text);
    return;
  }
  steps_[step]->Push(piece, [&](const TokenPiece& next) { Feed(step + 1, next, out); });
}

void Decoder::Push(std::string_view token, std::string* out) { Feed(0, {token, true, true}, out); }

void Decoder::Finish(std::string* out) {
  for (size_t i = 0; i < steps_.size(); ++i) {
    steps_[i]->Finish([&](const TokenPiece& next) { Feed(i + 1, next, out); });
  }
}

}  // namespace winnow
