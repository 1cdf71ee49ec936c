// AnswerCheck: whether the messages of one Generate stream are those of a whole answer.
//
//   AnswerCheck check(request);
//   while (read(&message)) check.Add(message);
//   if (status.ok()) EXPECT_EQ(check.WhatIsWrong(), "");
//
// Looks at form alone: order, counts and what was asked for, not at which tokens were drawn. Not
// thread-safe.
#ifndef WINNOW_TESTS_SOAK_ANSWER_CHECK_H_
#define WINNOW_TESTS_SOAK_ANSWER_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proto/winnow/v1/generation.pb.h"

namespace winnow::soak {

class AnswerCheck {
 public:
  // `request` outlives this.
  explicit AnswerCheck(const v1::GenerateRequest& request);

  void Add(const v1::GenerateResponse& message);

  // Of a stream that ended with OK: the first thing that is wrong; empty if nothing is.
  std::string WhatIsWrong() const;

  int num_messages() const { return num_messages_; }
  uint64_t num_prompt_tokens() const { return num_prompt_tokens_; }
  uint64_t num_output_tokens() const;

 private:
  struct Choice {
    uint64_t num_tokens = 0;
    uint64_t num_ids = 0, num_logprobs = 0;
    int num_finishes = 0;
    v1::Finish finish;
  };

  void AddDelta(uint32_t choice, const v1::Delta& delta);
  // Notes `what` unless the condition holds or something was noted before.
  void Expect(bool condition, const char* what);
  static std::string WrongIn(const Choice& choice, const v1::GenerateRequest& request);

  const v1::GenerateRequest& request_;
  std::string wrong_;  // in the order of messages
  int num_messages_ = 0;
  uint64_t num_prompt_tokens_ = 0, num_prompt_logprobs_ = 0;
  std::vector<Choice> choices_;
};

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_ANSWER_CHECK_H_
