#include "model/tokenizer/tokenizer.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    const std::string message = Concat(path, ": ", error.message());
    return error == std::errc::no_such_file_or_directory ? absl::NotFoundError(message)
                                                         : absl::InvalidArgumentError(message);
  }
  if (size > Tokenizer::kMaxFileBytes) {
    return absl::InvalidArgumentError(Concat(path, ": ", size, " bytes, but at most ",
                                             Tokenizer::kMaxFileBytes, " are supported"));
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError(Concat(path, ": cannot be read"));
  }
  return text;
}

absl::Status CheckVersion(JsonObject* file) {
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> version,
                          file->OptionalString("version"));
  if (version.value_or("1.0") == "1.0") return absl::OkStatus();
  return file->Error("version", "unsupported version \"", *version, "\"");
}

absl::Status RefusePresent(JsonObject* file, std::string_view key) {
  const nlohmann::json* json = file->Find(key);
  if (json == nullptr) return absl::OkStatus();
  return file->Error(key, "not supported, expected null, not ", DescribeJson(*json));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(const std::string& path) {
  WINNOW_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<std::unique_ptr<const Tokenizer>> tokenizer = FromJson(text);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(), Concat(path, ": ", tokenizer.status().message()));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view text) {
  WINNOW_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text));
  WINNOW_ASSIGN_OR_RETURN(JsonObject file, JsonObject::From(json, ""));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer);
  WINNOW_RETURN_IF_ERROR(tokenizer->Init(std::move(file)));
  return tokenizer;
}

absl::Status Tokenizer::Init(JsonObject file) {
  WINNOW_RETURN_IF_ERROR(CheckVersion(&file));
  WINNOW_RETURN_IF_ERROR(RefusePresent(&file, "truncation"));
  WINNOW_RETURN_IF_ERROR(RefusePresent(&file, "padding"));
  WINNOW_ASSIGN_OR_RETURN(JsonObject model, file.Object("model"));
  WINNOW_ASSIGN_OR_RETURN(model_, BpeModel::Load(std::move(model), &vocabulary_));
  if (file.Find("normalizer") != nullptr) {
    WINNOW_ASSIGN_OR_RETURN(JsonObject normalizer, file.Object("normalizer"));
    WINNOW_ASSIGN_OR_RETURN(normalizer_, LoadNormalizer(std::move(normalizer)));
  }
  std::vector<JsonObject> added_tokens;
  if (file.Find("added_tokens") != nullptr) {
    WINNOW_ASSIGN_OR_RETURN(added_tokens, file.ObjectArray("added_tokens"));
  }
  WINNOW_ASSIGN_OR_RETURN(
      added_tokens_, AddedTokens::Load(std::move(added_tokens), normalizer_.get(), &vocabulary_));
  if (file.Find("pre_tokenizer") != nullptr) {
    WINNOW_ASSIGN_OR_RETURN(JsonObject pre_tokenizer, file.Object("pre_tokenizer"));
    WINNOW_ASSIGN_OR_RETURN(pre_tokenizer_, LoadPreTokenizer(std::move(pre_tokenizer)));
  }
  if (file.Find("post_processor") != nullptr) {
    WINNOW_ASSIGN_OR_RETURN(JsonObject post_processor, file.Object("post_processor"));
    WINNOW_ASSIGN_OR_RETURN(frame_, LoadPostProcessor(std::move(post_processor), vocabulary_));
  }
  WINNOW_ASSIGN_OR_RETURN(decoder_, Decoder::Load(file.Find("decoder")));
  return file.Close();
}

absl::StatusOr<std::vector<uint32_t>> Tokenizer::Encode(std::string_view text,
                                                        bool add_special_tokens) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(Concat("the text has ", text.size(), " bytes, but at most ",
                                             kMaxTextBytes, " are supported"));
  }
  if (const std::optional<size_t> offset = FindInvalidUtf8(text); offset.has_value()) {
    return absl::InvalidArgumentError(Concat("the text is not UTF-8 at byte ", *offset));
  }
  std::vector<uint32_t> ids;
  if (add_special_tokens) ids = frame_.prefix;
  BpeScratch scratch;
  std::vector<AddedTokenPiece> pieces;
  added_tokens_->raw().Cut(text, &pieces);
  for (const AddedTokenPiece& piece : pieces) {
    if (piece.id.has_value()) {
      ids.push_back(*piece.id);
    } else {
      const std::string_view stretch = text.substr(piece.begin, piece.end - piece.begin);
      WINNOW_RETURN_IF_ERROR(EncodeStretch(stretch, piece.begin == 0, &scratch, &ids));
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), frame_.suffix.begin(), frame_.suffix.end());
  return ids;
}

absl::Status Tokenizer::EncodeStretch(std::string_view stretch, bool at_start, BpeScratch* scratch,
                                      std::vector<uint32_t>* ids) const {
  NormalizedText normalized{std::string(stretch), at_start};
  if (normalizer_ != nullptr) WINNOW_RETURN_IF_ERROR(normalizer_->Apply(&normalized));
  std::vector<AddedTokenPiece> pieces;
  added_tokens_->normalized().Cut(normalized.text, &pieces);
  for (const AddedTokenPiece& piece : pieces) {
    if (piece.id.has_value()) {
      ids->push_back(*piece.id);
    } else {
      const std::string_view text =
          std::string_view(normalized.text).substr(piece.begin, piece.end - piece.begin);
      const bool starts = normalized.at_start && piece.begin == 0;
      WINNOW_RETURN_IF_ERROR(EncodeNormalized(text, starts, scratch, ids));
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeNormalized(std::string_view text, bool at_start, BpeScratch* scratch,
                                         std::vector<uint32_t>* ids) const {
  WordList list{std::string(text), {{0, text.size(), at_start}}};
  if (pre_tokenizer_ != nullptr) WINNOW_RETURN_IF_ERROR(pre_tokenizer_->Apply(&list));
  for (const WordSpan& word : list.words) model_->EncodeWord(list.Word(word), scratch, ids);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Tokenizer::Decode(absl::Span<const uint32_t> ids,
                                              bool include_special) const {
  WINNOW_RETURN_IF_ERROR(CheckIds(ids));
  Decoder decoder = *decoder_;
  std::string text;
  for (const uint32_t id : ids) {
    if (include_special || !IsSpecial(id)) decoder.Push(vocabulary_.DecoderText(id), &text);
  }
  decoder.Finish(&text);
  return text;
}

std::optional<std::string_view> Tokenizer::IdToToken(uint32_t id) const {
  if (!vocabulary_.Contains(id)) return std::nullopt;
  return vocabulary_.Text(id);
}

absl::Status Tokenizer::CheckIds(absl::Span<const uint32_t> ids) const {
  for (const uint32_t id : ids) {
    if (!vocabulary_.Contains(id)) {
      return absl::InvalidArgumentError(
          Concat("token id ", id, " is not in the tokenizer's vocabulary of ", vocab_size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace winnow
