#include "model/tokenizer/bpe_model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Symbol = BpeScratch::Symbol;
using Candidate = BpeScratch::Candidate;

constexpr uint32_t kEnd = UINT32_MAX;  // no neighbour
constexpr uint32_t kRemoved =
    UINT32_MAX;  // the id of a symbol that was merged into the one before it

uint64_t PairKey(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// Orders the heap: std::push_heap keeps the largest on top, which here is the lowest rank, then the
// leftmost.
bool ComesLater(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

void AppendSymbol(uint32_t id, std::vector<Symbol>* symbols) {
  const uint32_t index = static_cast<uint32_t>(symbols->size());
  if (index > 0) symbols->back().next = index;
  symbols->push_back({id, index > 0 ? index - 1 : kEnd, kEnd});
}

absl::Status LoadVocabulary(JsonObject* object, Vocabulary* vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(const nlohmann::json* vocab, object->Get("vocab"));
  if (!vocab->is_object()) {
    return object->Error("vocab", "expected an object, not ", DescribeJson(*vocab));
  }
  for (const auto& [token, id] : vocab->items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > UINT32_MAX) {
      return object->Error("vocab", "the id of \"", token, "\" is ", DescribeJson(id));
    }
    absl::Status status = vocabulary->AddModelToken(token, id.get<uint32_t>());
    if (!status.ok()) return object->Error("vocab", status.message());
  }
  return absl::OkStatus();
}

absl::Status RefuseAffix(JsonObject* object, std::string_view key) {
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> affix, object->OptionalString(key));
  if (affix.value_or("").empty()) return absl::OkStatus();
  return object->Error(key, "not supported (value \"", *affix, "\")");
}

absl::Status RefuseDropout(JsonObject* object) {
  const nlohmann::json* dropout = object->Find("dropout");
  if (dropout == nullptr || (dropout->is_number() && dropout->get<double>() == 0)) {
    return absl::OkStatus();
  }
  return object->Error("dropout", "not supported (value ", DescribeJson(*dropout), ")");
}

// The last character of a text. REQUIRES: text is valid UTF-8, not empty.
char32_t LastChar(std::string_view text) {
  size_t begin = text.size() - 1;
  while ((text[begin] & 0xC0) == 0x80) --begin;
  return DecodeUtf8(text, begin).code;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const BpeModel>> BpeModel::Load(JsonObject object,
                                                               Vocabulary* vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> type, object.OptionalString("type"));
  if (type.value_or("BPE") != "BPE") {  // the oldest files leave it out
    return object.Error("type", "unsupported model \"", *type, "\"");
  }
  std::unique_ptr<BpeModel> model(new BpeModel(vocabulary));
  WINNOW_RETURN_IF_ERROR(LoadVocabulary(&object, vocabulary));
  model->IndexCharacters();
  WINNOW_ASSIGN_OR_RETURN(const nlohmann::json* merges, object.Get("merges"));
  WINNOW_RETURN_IF_ERROR(model->LoadMerges(*merges, object.PathOf("merges")));
  WINNOW_RETURN_IF_ERROR(model->LoadOptions(&object));
  WINNOW_RETURN_IF_ERROR(object.Close());
  return model;
}

absl::Status BpeModel::LoadOptions(JsonObject* object) {
  WINNOW_RETURN_IF_ERROR(RefuseDropout(object));
  WINNOW_RETURN_IF_ERROR(RefuseAffix(object, "continuing_subword_prefix"));
  WINNOW_RETURN_IF_ERROR(RefuseAffix(object, "end_of_word_suffix"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> fuse, object->OptionalBool("fuse_unk"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> bytes, object->OptionalBool("byte_fallback"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<bool> whole, object->OptionalBool("ignore_merges"));
  fuse_unknown_ = fuse.value_or(false);
  byte_fallback_ = bytes.value_or(false);
  ignore_merges_ = whole.value_or(false);
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> unknown,
                          object->OptionalString("unk_token"));
  if (unknown.has_value()) {
    const std::optional<uint32_t> id = vocabulary_.FindModelToken(*unknown);
    if (!id.has_value()) {
      return object->Error("unk_token", "\"", *unknown, "\" is not in the vocabulary");
    }
    unknown_id_ = *id;
  }
  return absl::OkStatus();
}

absl::Status BpeModel::LoadMerges(const nlohmann::json& merges, const std::string& path) {
  const auto error = [&](size_t index, auto message) {
    return absl::InvalidArgumentError(Concat(path, "[", index, "]: ", message));
  };
  if (!merges.is_array()) {
    return absl::InvalidArgumentError(
        Concat(path, ": expected an array, not ", DescribeJson(merges)));
  }
  for (size_t i = 0; i < merges.size(); ++i) {
    const nlohmann::json& merge = merges[i];
    std::string left, right;
    if (merge.is_string()) {
      const std::string& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        return error(i,
                     Concat("expected two tokens with a space between, not ", DescribeJson(merge)));
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      return error(i, "expected a string or an array of two strings");
    }
    if (absl::Status status = AddMerge(left, right); !status.ok()) {
      return error(i, status.message());
    }
  }
  return absl::OkStatus();
}

// The rank is the place in the list; of a pair listed twice the last one counts.
absl::Status BpeModel::AddMerge(std::string_view left, std::string_view right) {
  if (left.empty() || right.empty()) return absl::InvalidArgumentError("an empty token");
  const std::string merged = Concat(left, right);
  for (const std::string_view token : {left, right, std::string_view(merged)}) {
    if (!vocabulary_.FindModelToken(token).has_value()) {
      return absl::InvalidArgumentError(Concat("token \"", token, "\" is not in the vocabulary"));
    }
  }
  const uint64_t pair =
      PairKey(*vocabulary_.FindModelToken(left), *vocabulary_.FindModelToken(right));
  merges_[pair] = {num_merges_++, *vocabulary_.FindModelToken(merged)};
  joined_chars_.insert(PairKey(LastChar(left), DecodeUtf8(right, 0).code));
  return absl::OkStatus();
}

void BpeModel::IndexCharacters() {
  low_char_ids_.fill(kNoId);
  for (uint32_t id = 0; id < vocabulary_.size(); ++id) {
    if (!vocabulary_.Contains(id)) continue;
    const std::string_view text = vocabulary_.Text(id);
    if (text.empty()) continue;
    const Utf8Char c = DecodeUtf8(text, 0);
    if (c.num_bytes != text.size()) continue;
    if (c.code < low_char_ids_.size()) {
      low_char_ids_[c.code] = id;
    } else {
      high_char_ids_[c.code] = id;
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = vocabulary_.FindModelToken(absl::StrFormat("<0x%02X>", byte)).value_or(kNoId);
  }
}

uint32_t BpeModel::CharId(char32_t c) const {
  if (c < low_char_ids_.size()) return low_char_ids_[c];
  const auto it = high_char_ids_.find(c);
  return it == high_char_ids_.end() ? kNoId : it->second;
}

bool BpeModel::CanMergeAcross(char32_t left, char32_t right) const {
  return joined_chars_.contains(PairKey(left, right));
}

bool BpeModel::AppendByteSymbols(std::string_view bytes, std::vector<Symbol>* symbols) const {
  const auto id = [this](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  for (const char byte : bytes) {
    if (id(byte) == kNoId) return false;
  }
  for (const char byte : bytes) AppendSymbol(id(byte), symbols);
  return true;
}

bool BpeModel::AppendCandidate(uint32_t position, BpeScratch* scratch) const {
  const Symbol& left = scratch->symbols[position];
  const uint32_t right_id = scratch->symbols[left.next].id;
  const auto it = merges_.find(PairKey(left.id, right_id));
  if (it == merges_.end()) return false;
  scratch->heap.push_back({it->second.rank, position, left.id, right_id});
  return true;
}

void BpeModel::MergeSymbols(BpeScratch* scratch) const {
  std::vector<Symbol>& symbols = scratch->symbols;
  std::vector<Candidate>& heap = scratch->heap;
  const auto push = [&](uint32_t position) {
    if (AppendCandidate(position, scratch)) std::push_heap(heap.begin(), heap.end(), ComesLater);
  };
  heap.clear();
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) AppendCandidate(i, scratch);
  std::make_heap(heap.begin(), heap.end(), ComesLater);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), ComesLater);
    const Candidate candidate = heap.back();
    heap.pop_back();
    Symbol& left = symbols[candidate.position];
    if (left.id != candidate.left || left.next == kEnd) continue;
    Symbol& right = symbols[left.next];
    if (right.id != candidate.right) continue;

    left.id = merges_.find(PairKey(candidate.left, candidate.right))->second.id;
    left.next = right.next;
    right.id = kRemoved;
    if (left.next != kEnd) {
      symbols[left.next].previous = candidate.position;
      push(candidate.position);
    }
    if (left.previous != kEnd) push(left.previous);
  }
}

void BpeModel::EncodeWord(std::string_view word, BpeScratch* scratch,
                          std::vector<uint32_t>* ids) const {
  if (ignore_merges_) {
    if (const std::optional<uint32_t> id = vocabulary_.FindModelToken(word); id.has_value()) {
      ids->push_back(*id);
      return;
    }
  }
  std::vector<Symbol>& symbols = scratch->symbols;
  symbols.clear();
  // An unknown token waits for the next known character, so that more unknown ones may join it. As
  // in the reference implementation, the bytes of a character that falls back to bytes do not end
  // the wait.
  bool unknown_waits = false;
  std::optional<char32_t> previous;  // the last symbol, when it is a character
  for (size_t i = 0; i < word.size();) {
    const Utf8Char c = DecodeUtf8(word, i);
    const std::string_view bytes = word.substr(i, c.num_bytes);
    i += c.num_bytes;
    const uint32_t id = CharId(c.code);
    if (id == kNoId) {
      previous.reset();
      if (byte_fallback_ && AppendByteSymbols(bytes, &symbols)) continue;
      if (unknown_waits && !fuse_unknown_) AppendSymbol(unknown_id_, &symbols);
      unknown_waits = unknown_id_ != kNoId;
      continue;
    }
    if (unknown_waits) AppendSymbol(unknown_id_, &symbols);
    unknown_waits = false;
    if (previous.has_value() && !CanMergeAcross(*previous, c.code)) EncodeSymbols(scratch, ids);
    AppendSymbol(id, &symbols);
    previous = c.code;
  }
  if (unknown_waits) AppendSymbol(unknown_id_, &symbols);
  EncodeSymbols(scratch, ids);
}

void BpeModel::EncodeSymbols(BpeScratch* scratch, std::vector<uint32_t>* ids) const {
  MergeSymbols(scratch);
  for (const Symbol& symbol : scratch->symbols) {
    if (symbol.id != kRemoved) ids->push_back(symbol.id);
  }
  scratch->symbols.clear();
}

}  // namespace winnow
