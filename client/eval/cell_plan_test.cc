#include "client/eval/cell_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(CellPlanTest, IsTheProductOfTheLists) {
  CellLists lists;
  EXPECT_THAT(PlanCells(lists, 20), SizeIs(4 * 5 + 4 + 3));
  lists = {
      .tasks = {Task::kMultiKey, Task::kMultiValue}, .many_lengths = {900, 1800}, .facts = {2, 20}};
  const auto key = [](int64_t tokens, int facts) {
    return PlannedCell{{.task = Task::kMultiKey, .tokens = tokens, .facts = facts}, 7};
  };
  const auto value = [](int64_t tokens) {
    return PlannedCell{{.task = Task::kMultiValue, .tokens = tokens, .facts = kMultiValueCodes}, 7};
  };
  EXPECT_THAT(PlanCells(lists, 7), ElementsAre(key(900, 2), key(900, 20), key(1800, 2),
                                               key(1800, 20), value(900), value(1800)));
}

TEST(CellPlanTest, SingleFactsAreDealtToTheDepths) {
  const CellLists lists = {.tasks = {Task::kSingle}, .lengths = {512}, .depths = {0, 50, 100}};
  const auto single = [](int depth, int64_t texts) {
    return PlannedCell{{Task::kSingle, 512, depth}, texts};
  };
  EXPECT_THAT(PlanCells(lists, 8), ElementsAre(single(0, 3), single(50, 3), single(100, 2)));
}

TEST(CellPlanTest, EachQuestionSendsItsText) {
  EXPECT_EQ(PromptTokens({{{Task::kSingle, 500, 0}, 3},
                          {{.task = Task::kMultiQuery, .tokens = 1000, .facts = 16}, 2}}),
            3 * 500 + 2 * 1000 * kNumQueries);
}

TEST(CellTest, NamesAreFound) {
  for (const Task task : kAllTasks) EXPECT_EQ(FindTask(NameOf(task)), task);
  EXPECT_EQ(FindTask("double"), std::nullopt);
}

TEST(CellTest, SixtyFourFactsFitIntoTrainingsLongestText) {
  EXPECT_LE(LeastTokens({.task = Task::kMultiKey, .tokens = 2048, .facts = 64}), 2048);
}

}  // namespace
}  // namespace winnow::eval
