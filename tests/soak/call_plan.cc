#include "tests/soak/call_plan.h"

#include "kernels/check.h"
#include "tests/e2e/process_stats.h"
#include "tests/soak/random.h"
#include "tests/soak/random_request.h"

namespace winnow::soak {
namespace {

// Of a stream that is not read, gRPC takes some 64 KiB, about 300 tokens with their alternatives;
// these are several times what it and the server's buffer take.
constexpr int kLongAnswerChoices = 4, kLongAnswerTokens = 500;

Behaviour DrawBehaviour(Random& random) {
  const int percent = random.Int(0, 99);
  if (percent < 14) return Behaviour::kCancels;
  if (percent < 20) return Behaviour::kVanishes;
  if (percent < 25) return Behaviour::kDeadline;
  if (percent < 29) return Behaviour::kPauses;
  if (percent < 30) return Behaviour::kStopsReading;
  if (percent < 31) return Behaviour::kMalformed;
  return Behaviour::kReads;
}

// Half of them in midst of an answer that would never end, half at any time of any call, which may
// come before the headers or too late.
void DrawInterruption(Random& random, CallPlan* plan) {
  if (random.Percent(50)) {
    MakeEndless(&plan->request);
    plan->after_messages = random.Int(1, 30);
  } else {
    plan->delay = absl::Milliseconds(random.Int(0, 200));
  }
}

void StopReadingForLong(Random& random, CallPlan* plan) {
  MakeEndless(&plan->request);
  plan->request.mutable_sampling()->set_n(kLongAnswerChoices);
  plan->request.mutable_stop()->set_max_tokens(kLongAnswerTokens);
  plan->request.mutable_output()->set_logprobs(20);
  plan->after_messages = 1;
  plan->delay = absl::Milliseconds(random.Int(4'000, 20'000)) * (kSanitized ? 4 : 1);
}

void DrawDetails(Random& random, CallPlan* plan) {
  switch (plan->behaviour) {
    case Behaviour::kReads:
      return;
    case Behaviour::kCancels:
    case Behaviour::kVanishes:
      return DrawInterruption(random, plan);
    case Behaviour::kDeadline:
      MakeEndless(&plan->request);
      plan->timeout = absl::Milliseconds(random.Int(1, 100));
      return;
    case Behaviour::kPauses:
      plan->after_messages = random.Int(1, 4);
      plan->delay = absl::Milliseconds(random.Int(50, 1'000));
      return;
    case Behaviour::kStopsReading:
      return StopReadingForLong(random, plan);
    case Behaviour::kMalformed:
      const MalformedRequest malformed = RandomMalformedRequest(random);
      plan->bytes = malformed.bytes;
      plan->refusal = malformed.refusal;
      return;
  }
}

}  // namespace

const char* Name(Behaviour behaviour) {
  switch (behaviour) {
    case Behaviour::kReads:
      return "reads";
    case Behaviour::kCancels:
      return "cancels";
    case Behaviour::kVanishes:
      return "vanishes";
    case Behaviour::kDeadline:
      return "deadline";
    case Behaviour::kPauses:
      return "pauses";
    case Behaviour::kStopsReading:
      return "stops reading";
    case Behaviour::kMalformed:
      return "malformed";
  }
  WINNOW_CHECK(false) << static_cast<int>(behaviour);
  return "";
}

std::ostream& operator<<(std::ostream& out, const CallPlan& plan) {
  out << Name(plan.behaviour);
  if (plan.after_messages.has_value()) out << " after " << *plan.after_messages << " messages";
  if (plan.delay > absl::ZeroDuration()) out << " delay " << plan.delay;
  v1::GenerateRequest options = plan.request;
  options.clear_prompt();
  return out << " {" << options.ShortDebugString() << "}";
}

CallPlan DrawCallPlan(uint64_t seed, uint64_t index) {
  Random random(seed, index);
  CallPlan plan;
  plan.behaviour = DrawBehaviour(random);
  plan.request = RandomRequest(random);
  DrawDetails(random, &plan);
  if (plan.behaviour != Behaviour::kMalformed) plan.bytes = plan.request.SerializeAsString();
  return plan;
}

}  // namespace winnow::soak
