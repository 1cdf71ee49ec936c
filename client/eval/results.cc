#include "client/eval/results.h"

#include <algorithm>
#include <utility>

namespace winnow::eval {
namespace {

// One text's answers as they come in.
struct TextTally {
  size_t answered = 0;
  bool failed = false, all_exact = true;
  double digits = 0;  // sum over answers
};

void Take(const Question& question, const load::CallRecord& record, TextTally* text) {
  if (record.failed()) {
    text->failed = true;
    return;
  }
  const Score score = ScoreAnswer(record.text, question.codes);
  ++text->answered;
  text->all_exact &= score.exact;
  text->digits += score.digits;
}

void Add(const TextTally& text, size_t num_questions, CellResult* cell) {
  if (text.failed) {
    ++cell->failed;
  } else if (text.answered == num_questions) {
    ++cell->texts;
    cell->right += text.all_exact ? 1 : 0;
    cell->digits += text.digits / static_cast<double>(num_questions);
  }
}

double Share(double part, int64_t whole) {
  return whole == 0 ? 0 : part / static_cast<double>(whole);
}

// Where a cell stands among the cells, at whose end it is added if it is new.
size_t PlaceOf(const Cell& cell, std::vector<Cell>* cells) {
  const auto place = std::find(cells->begin(), cells->end(), cell);
  const auto index = static_cast<size_t>(place - cells->begin());
  if (place == cells->end()) cells->push_back(cell);
  return index;
}

}  // namespace

double CellResult::exact_share() const { return Share(static_cast<double>(right), texts); }
double CellResult::digit_share() const { return Share(digits, texts); }

void CellResult::AddCounts(const CellResult& other) {
  texts += other.texts;
  right += other.right;
  digits += other.digits;
  failed += other.failed;
  prompt_tokens += other.prompt_tokens;
}

EvalResult Merge(std::vector<EvalResult> results) {
  EvalResult merged = {.date = results.front().date,
                       .seed = results.front().seed,
                       .concurrency = results.front().concurrency};
  for (EvalResult& result : results) {
    std::vector<size_t> places;
    for (const Cell& cell : result.cells) places.push_back(PlaceOf(cell, &merged.cells));
    for (VariantResult& variant : result.variants) {
      std::vector<CellResult> cells(merged.cells.size());
      for (size_t i = 0; i < places.size(); ++i) cells[places[i]] = std::move(variant.cells[i]);
      variant.cells = std::move(cells);
      merged.variants.push_back(std::move(variant));
    }
  }
  for (VariantResult& variant : merged.variants) variant.cells.resize(merged.cells.size());
  return merged;
}

std::vector<CellResult> Tally(const Questions& questions,
                              const std::vector<load::CallRecord>& records) {
  std::vector<const load::CallRecord*> in_order;
  for (const load::CallRecord& record : records) in_order.push_back(&record);
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->number < b->number; });
  std::vector<CellResult> cells(questions.cells().size());
  std::map<std::pair<size_t, int64_t>, TextTally> texts;
  for (const load::CallRecord* record : in_order) {
    const Asked& asked = questions.asked(record->number);
    const Question& question = questions.question(record->number);
    Take(question, *record, &texts[{asked.cell, asked.text}]);
    if (record->failed()) continue;
    cells[asked.cell].prompt_tokens += record->prompt_tokens;
    cells[asked.cell].answers.push_back({asked.text, asked.question, question.codes, record->text});
  }
  for (const auto& [key, text] : texts) {
    const size_t cell = key.first;
    Add(text, static_cast<size_t>(NumQuestions(questions.cells()[cell])), &cells[cell]);
  }
  return cells;
}

uint64_t StateBytes(const v1::GetModelInfoResponse& info, int64_t tokens) {
  if (info.has_max_pages_per_sequence()) {
    return info.slot_bytes_per_sequence() + info.max_pages_per_sequence() * info.page_bytes();
  }
  return info.slot_bytes_per_sequence() + info.kv_bytes_per_token() * static_cast<uint64_t>(tokens);
}

}  // namespace winnow::eval
