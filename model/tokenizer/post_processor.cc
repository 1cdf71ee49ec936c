#include "model/tokenizer/post_processor.h"

#include <map>
#include <string>
#include <utility>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"

namespace winnow {
namespace {

using IdsByName = std::map<std::string, std::vector<uint32_t>, std::less<>>;

absl::StatusOr<std::vector<uint32_t>> ReadIds(JsonObject* object, const Vocabulary& vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(const nlohmann::json* ids, object->Get("ids"));
  if (!ids->is_array()) return object->Error("ids", "expected an array");
  std::vector<uint32_t> result;
  for (const nlohmann::json& id : *ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > UINT32_MAX ||
        !vocabulary.Contains(id.get<uint32_t>())) {
      return object->Error("ids", DescribeJson(id), " is no token's id");
    }
    result.push_back(id.get<uint32_t>());
  }
  return result;
}

absl::StatusOr<IdsByName> ReadSpecialTokens(JsonObject* object, const Vocabulary& vocabulary) {
  IdsByName ids_by_name;
  WINNOW_ASSIGN_OR_RETURN(const nlohmann::json* tokens, object->Get("special_tokens"));
  if (!tokens->is_object()) return object->Error("special_tokens", "expected an object");
  for (const auto& [name, json] : tokens->items()) {
    WINNOW_ASSIGN_OR_RETURN(
        JsonObject token,
        JsonObject::From(json, Concat(object->PathOf("special_tokens"), ".", name)));
    WINNOW_ASSIGN_OR_RETURN(ids_by_name[name], ReadIds(&token, vocabulary));
    token.Ignore({"id", "tokens"});  // the name and the texts once more
    WINNOW_RETURN_IF_ERROR(token.Close());
  }
  return ids_by_name;
}

// One item of a template: {"SpecialToken": {"id": name}} or {"Sequence": {"id": "A"}}.
absl::Status AppendItem(JsonObject item, const IdsByName& ids_by_name, bool* seen_text,
                        SpecialTokenFrame* frame) {
  const bool is_text = item.Find("Sequence") != nullptr;
  WINNOW_ASSIGN_OR_RETURN(JsonObject inner, item.Object(is_text ? "Sequence" : "SpecialToken"));
  WINNOW_ASSIGN_OR_RETURN(const std::string id, inner.String("id"));
  inner.Ignore({"type_id"});  // segment numbers are not kept
  WINNOW_RETURN_IF_ERROR(inner.Close());
  WINNOW_RETURN_IF_ERROR(item.Close());
  if (is_text) {
    if (id != "A") return inner.Error("id", "expected \"A\", not \"", id, "\"");
    if (*seen_text) return inner.Error("id", "the text twice is not supported");
    *seen_text = true;
    return absl::OkStatus();
  }
  const auto it = ids_by_name.find(id);
  if (it == ids_by_name.end()) {
    return inner.Error("id", "\"", id, "\" is not among special_tokens");
  }
  std::vector<uint32_t>& side = *seen_text ? frame->suffix : frame->prefix;
  side.insert(side.end(), it->second.begin(), it->second.end());
  return absl::OkStatus();
}

absl::StatusOr<SpecialTokenFrame> LoadTemplate(JsonObject* object, const Vocabulary& vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(const IdsByName ids_by_name, ReadSpecialTokens(object, vocabulary));
  WINNOW_ASSIGN_OR_RETURN(std::vector<JsonObject> items, object->ObjectArray("single"));
  object->Ignore({"pair"});
  WINNOW_RETURN_IF_ERROR(object->Close());
  SpecialTokenFrame frame;
  bool seen_text = false;
  for (JsonObject& item : items) {
    WINNOW_RETURN_IF_ERROR(AppendItem(std::move(item), ids_by_name, &seen_text, &frame));
  }
  if (!seen_text) return object->Error("single", "a template without the text (Sequence A)");
  return frame;
}

// Each step frames what the ones before made.
absl::StatusOr<SpecialTokenFrame> LoadSequence(JsonObject* object, const Vocabulary& vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(std::vector<JsonObject> items, object->ObjectArray("processors"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  SpecialTokenFrame frame;
  for (JsonObject& item : items) {
    WINNOW_ASSIGN_OR_RETURN(const SpecialTokenFrame outer,
                            LoadPostProcessor(std::move(item), vocabulary));
    frame.prefix.insert(frame.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
    frame.suffix.insert(frame.suffix.end(), outer.suffix.begin(), outer.suffix.end());
  }
  return frame;
}

}  // namespace

absl::StatusOr<SpecialTokenFrame> LoadPostProcessor(JsonObject object,
                                                    const Vocabulary& vocabulary) {
  WINNOW_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "TemplateProcessing") return LoadTemplate(&object, vocabulary);
  if (type == "Sequence") return LoadSequence(&object, vocabulary);
  if (type == "ByteLevel") {
    object.Ignore({"add_prefix_space", "trim_offsets", "use_regex"});
    WINNOW_RETURN_IF_ERROR(object.Close());
    return SpecialTokenFrame();
  }
  return object.Error("type", "unsupported post-processor \"", type, "\"");
}

}  // namespace winnow
