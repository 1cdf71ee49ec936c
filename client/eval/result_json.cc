#include "client/eval/result_json.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace winnow::eval {
namespace {

using nlohmann::json;

// What is read back is wrong; thrown and caught in this file, as the JSON library's own errors are.
struct WrongValue {
  std::string what;
};

json ToJson(const v1::GetModelInfoResponse& info) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(info, &text, options);
  return status.ok() ? json::parse(text) : json::object();
}

json ToJson(const Cell& cell, const CellResult& result) {
  json out = {{"task", NameOf(cell.task)},
              {"tokens", cell.tokens},
              {"facts", cell.facts},
              {"depth", nullptr},
              {"texts", result.texts},
              {"right", result.right},
              {"right_digits", result.digits},
              {"failed", result.failed},
              {"exact", result.exact_share()},
              {"exact_low", result.exact_interval().low},
              {"exact_high", result.exact_interval().high},
              {"digits", result.digit_share()},
              {"digits_low", result.digit_interval().low},
              {"digits_high", result.digit_interval().high},
              {"prompt_tokens", result.prompt_tokens},
              {"answers", json::array()}};
  if (cell.depth.has_value()) out["depth"] = *cell.depth;
  for (const Answer& answer : result.answers) {
    out["answers"].push_back({{"text", answer.text},
                              {"question", answer.question},
                              {"codes", answer.codes},
                              {"answer", answer.answer}});
  }
  return out;
}

json ToJson(const EvalResult& result, const VariantResult& variant) {
  json out = {{"name", variant.name},
              {"server", variant.address},
              {"model", ToJson(variant.info)},
              {"seconds", variant.seconds},
              {"prompt_tokens", variant.prompt_tokens},
              {"errors_by_kind", variant.errors},
              {"stopped", variant.stopped},
              {"alone", nullptr},
              {"cells", json::array()}};
  if (variant.times.has_value()) {
    out["alone"] = {{"prompt_tokens", variant.times->prompt_tokens},
                    {"prompt_us_per_token", variant.times->prompt_us},
                    {"output_us_per_token", variant.times->output_us}};
  }
  for (size_t i = 0; i < result.cells.size(); ++i) {
    const CellResult& cell = variant.cells[i];
    if (cell.texts + cell.failed == 0) continue;
    out["cells"].push_back(ToJson(result.cells[i], cell));
    out["cells"].back()["state_bytes"] = StateBytes(variant.info, result.cells[i].tokens);
  }
  return out;
}

v1::GetModelInfoResponse InfoFrom(const json& in) {
  v1::GetModelInfoResponse info;
  const auto status = google::protobuf::util::JsonStringToMessage(in.dump(), &info);
  if (!status.ok()) throw WrongValue{absl::StrCat("\"model\": ", status.ToString())};
  return info;
}

Cell CellFrom(const json& in) {
  const std::string name = in.at("task").get<std::string>();
  const std::optional<Task> task = FindTask(name);
  if (!task.has_value()) throw WrongValue{absl::StrCat("there is no task \"", name, "\"")};
  Cell cell = {.task = *task, .tokens = in.at("tokens"), .facts = in.at("facts")};
  if (!in.at("depth").is_null()) cell.depth = in.at("depth").get<int>();
  return cell;
}

CellResult CellResultFrom(const json& in) {
  CellResult result = {.texts = in.at("texts"),
                       .right = in.at("right"),
                       .digits = in.at("right_digits"),
                       .failed = in.at("failed"),
                       .prompt_tokens = in.at("prompt_tokens")};
  for (const json& answer : in.at("answers")) {
    result.answers.push_back({.text = answer.at("text"),
                              .question = answer.at("question"),
                              .codes = answer.at("codes"),
                              .answer = answer.at("answer")});
  }
  return result;
}

// A result with one variant, which has all of its cells.
EvalResult VariantFrom(const json& in) {
  EvalResult result;
  VariantResult variant = {.name = in.at("name"),
                           .address = in.at("server"),
                           .info = InfoFrom(in.at("model")),
                           .seconds = in.at("seconds"),
                           .prompt_tokens = in.at("prompt_tokens"),
                           .errors = in.at("errors_by_kind"),
                           .stopped = in.at("stopped")};
  if (const json& alone = in.at("alone"); !alone.is_null()) {
    variant.times = {.prompt_tokens = alone.at("prompt_tokens"),
                     .prompt_us = alone.at("prompt_us_per_token"),
                     .output_us = alone.at("output_us_per_token")};
  }
  for (const json& cell : in.at("cells")) {
    result.cells.push_back(CellFrom(cell));
    variant.cells.push_back(CellResultFrom(cell));
  }
  result.variants.push_back(std::move(variant));
  return result;
}

EvalResult ResultFrom(const json& in) {
  std::vector<EvalResult> results(1);
  results[0] = {.date = in.at("date"), .seed = in.at("seed"), .concurrency = in.at("concurrency")};
  for (const json& variant : in.at("variants")) results.push_back(VariantFrom(variant));
  return Merge(std::move(results));
}

}  // namespace

json ResultToJson(const EvalResult& result) {
  json out = {{"date", result.date},
              {"seed", result.seed},
              {"concurrency", result.concurrency},
              {"variants", json::array()}};
  for (const VariantResult& variant : result.variants) {
    out["variants"].push_back(ToJson(result, variant));
  }
  return out;
}

std::string ResultToJsonText(const EvalResult& result) {
  return absl::StrCat(
      ResultToJson(result).dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace),
      "\n");
}

absl::StatusOr<EvalResult> ResultFromJsonText(const std::string& text) {
  try {
    return ResultFrom(json::parse(text));
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  } catch (const WrongValue& wrong) {
    return absl::InvalidArgumentError(wrong.what);
  }
}

}  // namespace winnow::eval
