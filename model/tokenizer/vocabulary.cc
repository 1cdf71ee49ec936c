#include "model/tokenizer/vocabulary.h"

#include <utility>

#include "model/tokenizer/concat.h"

namespace winnow {

absl::Status Vocabulary::AddModelToken(std::string_view text, uint32_t id) {
  return Add({std::string(text), id, /*in_model=*/true, /*special=*/false, {}});
}

absl::Status Vocabulary::AddExtraToken(std::string_view text, uint32_t id, bool special) {
  const auto it = entry_of_text_.find(text);
  if (it != entry_of_text_.end() && entries_[it->second].id == id) {
    entries_[it->second].special = special;
    return absl::OkStatus();
  }
  return Add({std::string(text), id, /*in_model=*/false, special, {}});
}

absl::Status Vocabulary::Add(Entry entry) {
  if (entry.id >= kMaxSize) {
    return absl::InvalidArgumentError(Concat("token \"", entry.text, "\" has id ", entry.id,
                                             ", but ids must be below ", kMaxSize));
  }
  if (Contains(entry.id)) {
    return absl::InvalidArgumentError(Concat("tokens \"", Text(entry.id), "\" and \"", entry.text,
                                             "\" have the same id ", entry.id));
  }
  const uint32_t index = static_cast<uint32_t>(entries_.size());
  const auto it = entry_of_text_.find(entry.text);
  if (it != entry_of_text_.end()) {
    return absl::InvalidArgumentError(Concat("token \"", entry.text, "\" has two ids, ",
                                             entries_[it->second].id, " and ", entry.id));
  }
  if (entry.id >= entry_of_id_.size()) entry_of_id_.resize(entry.id + 1, kUnused);
  entry_of_id_[entry.id] = index;
  entries_.push_back(std::move(entry));
  entry_of_text_.emplace(entries_.back().text, index);
  return absl::OkStatus();
}

std::optional<uint32_t> Vocabulary::Find(std::string_view text) const {
  const auto it = entry_of_text_.find(text);
  if (it == entry_of_text_.end()) return std::nullopt;
  return entries_[it->second].id;
}

std::optional<uint32_t> Vocabulary::FindModelToken(std::string_view text) const {
  const auto it = entry_of_text_.find(text);
  if (it == entry_of_text_.end() || !entries_[it->second].in_model) return std::nullopt;
  return entries_[it->second].id;
}

}  // namespace winnow
