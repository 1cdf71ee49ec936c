#include "client/eval/results.h"

#include <algorithm>

#include "client/eval/questions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

absl::StatusOr<int64_t> CountWords(const std::string& text) {
  return 1 + std::count(text.begin() + 1, text.end(), ' ');
}

const Cell kSingle = {Task::kSingle, 200, 50};
const Cell kSeveral = {.task = Task::kMultiQuery, .tokens = 700, .facts = kMultiQueryFacts};

Questions Make(const std::vector<Cell>& cells, int64_t texts) {
  std::vector<PlannedCell> plan;
  for (const Cell& cell : cells) plan.push_back({cell, texts});
  auto questions = Questions::Make(plan, 1, CountWords);
  EXPECT_TRUE(questions.ok()) << questions.status();
  return *std::move(questions);
}

load::CallRecord Answered(int64_t number, std::string text) {
  load::CallRecord record;
  record.number = number;
  record.code = absl::StatusCode::kOk;
  record.finished = true;
  record.prompt_tokens = 10;
  record.text = std::move(text);
  return record;
}

load::CallRecord Right(const Questions& questions, int64_t number) {
  return Answered(number, " " + questions.question(number).codes[0]);
}

load::CallRecord Failed(int64_t number) {
  load::CallRecord record;
  record.number = number;
  record.code = absl::StatusCode::kUnavailable;
  return record;
}

TEST(QuestionsTest, RequestsAreGreedyAndInOrder) {
  const Questions questions = Make({kSingle, kSeveral}, 2);
  ASSERT_EQ(questions.size(), 2 + 2 * kNumQueries);
  QuestionSource source(&questions);
  for (int64_t number = 0; number < questions.size(); ++number) {
    const load::PlannedRequest planned = source.Next();
    EXPECT_EQ(planned.number, number);
    EXPECT_EQ(planned.request.sampling().temperature(), 0);
    EXPECT_THAT(planned.request.text(), ::testing::EndsWith(questions.question(number).ending));
  }
  EXPECT_EQ(questions.asked(3).cell, 1u);
  EXPECT_EQ(questions.asked(3).question, 1u);
  EXPECT_EQ(questions.asked(7).text, 1);
  EXPECT_EQ(questions.Longest(), 2);
}

TEST(TallyTest, CountsTextsAndDigitsWhateverTheOrder) {
  const Questions questions = Make({kSingle}, 3);
  std::string code = questions.question(2).codes[0];
  code[4] = code[4] == '0' ? '1' : '0';
  const std::vector<load::CallRecord> records = {Answered(2, " " + code), Right(questions, 0),
                                                 Answered(1, " unknown")};
  const CellResult cell = Tally(questions, records)[0];
  EXPECT_EQ(cell.texts, 3);
  EXPECT_EQ(cell.right, 1);
  EXPECT_DOUBLE_EQ(cell.digits, 1 + 0 + 0.8);
  EXPECT_DOUBLE_EQ(cell.exact_share(), 1.0 / 3);
  EXPECT_EQ(cell.prompt_tokens, 30);
  ASSERT_THAT(cell.answers, SizeIs(3));
  EXPECT_EQ(cell.answers[1].answer, " unknown");
  EXPECT_EQ(cell.answers[2].codes, questions.question(2).codes);
}

TEST(TallyTest, ATextIsRightIfAllItsAnswersAre) {
  const Questions questions = Make({kSeveral}, 2);
  std::vector<load::CallRecord> records;
  for (int64_t number = 0; number < questions.size(); ++number) {
    records.push_back(number == 1 ? Answered(number, "") : Right(questions, number));
  }
  const CellResult cell = Tally(questions, records)[0];
  EXPECT_EQ(cell.texts, 2);
  EXPECT_EQ(cell.right, 1);
  EXPECT_DOUBLE_EQ(cell.digits, 0.75 + 1);
}

TEST(TallyTest, FailedAndUnfinishedTextsAreNoTrials) {
  const Questions questions = Make({kSingle, kSeveral}, 2);
  // The first single fact fails; of the second text with several only one question was asked.
  std::vector<load::CallRecord> records = {Failed(0), Right(questions, 1), Right(questions, 6)};
  for (int64_t number = 2; number < 6; ++number) records.push_back(Right(questions, number));
  const std::vector<CellResult> cells = Tally(questions, records);
  EXPECT_EQ(cells[0].failed, 1);
  EXPECT_EQ(cells[0].texts, 1);
  EXPECT_EQ(cells[1].failed, 0);
  EXPECT_EQ(cells[1].texts, 1);
  EXPECT_EQ(cells[1].right, 1);
  EXPECT_EQ(Tally(questions, {})[0].exact_share(), 0);
}

TEST(MergeTest, VariantsHaveTheCellsOfAll) {
  const Cell third = {Task::kSingle, 300, 50};
  VariantResult one = {.name = "one", .cells = {{.texts = 1}, {.texts = 2}}};
  VariantResult two = {.name = "two", .cells = {{.texts = 3}, {.texts = 4}}};
  const EvalResult merged = Merge(
      {{.date = "d", .seed = 5, .concurrency = 7, .cells = {kSingle, kSeveral}, .variants = {one}},
       {.date = "e", .cells = {third, kSingle}, .variants = {two}}});
  EXPECT_EQ(merged.date, "d");
  EXPECT_EQ(merged.seed, 5u);
  EXPECT_EQ(merged.concurrency, 7);
  EXPECT_THAT(merged.cells, ElementsAre(kSingle, kSeveral, third));
  const auto texts = [](const VariantResult& variant) {
    std::vector<int64_t> counts;
    for (const CellResult& cell : variant.cells) counts.push_back(cell.texts);
    return counts;
  };
  ASSERT_THAT(merged.variants, SizeIs(2));
  EXPECT_THAT(texts(merged.variants[0]), ElementsAre(1, 2, 0));
  EXPECT_THAT(texts(merged.variants[1]), ElementsAre(4, 0, 3));
}

TEST(StateBytesTest, IsBoundedOrGrows) {
  v1::GetModelInfoResponse info;
  info.set_slot_bytes_per_sequence(1000);
  info.set_page_bytes(10);
  info.set_kv_bytes_per_token(2);
  EXPECT_EQ(StateBytes(info, 500), 2000u);
  info.set_max_pages_per_sequence(7);
  EXPECT_EQ(StateBytes(info, 500), 1070u);
}

}  // namespace
}  // namespace winnow::eval
