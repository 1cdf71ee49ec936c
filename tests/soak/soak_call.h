// SoakCall: one Generate call that behaves as its plan says, on gRPC's callback threads.
//
// A call owns itself from Start until gRPC is done with it; then it reports and is gone. While a
// delay runs, a hold on the call keeps gRPC from being done.
#ifndef WINNOW_TESTS_SOAK_SOAK_CALL_H_
#define WINNOW_TESTS_SOAK_SOAK_CALL_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "grpcpp/alarm.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/client_callback.h"
#include "proto/winnow/v1/generation.pb.h"
#include "tests/soak/answer_check.h"
#include "tests/soak/call_plan.h"
#include "tests/soak/fragile_connection.h"

namespace winnow::soak {

// How a call ended.
enum class Ending {
  kAnswered,  // whole
  kCancelled,
  kVanished,  // its connection is gone
  kLate,
  kQueueFull,  // may happen to any valid one
  kReadTooSlowly,
  kRefused,  // malformed, with the status that it deserves
  kWrong,    // none that the plan allows
};
inline constexpr int kNumEndings = 8;
const char* Name(Ending ending);

struct CallReport {
  Behaviour behaviour = Behaviour::kReads;
  Ending ending = Ending::kWrong;
  uint64_t num_prompt_tokens = 0, num_output_tokens = 0;
  std::string wrong;  // for kWrong: the plan, and what is wrong
};

class SoakCall final : public grpc::ClientBidiReactor<grpc::ByteBuffer, v1::GenerateResponse> {
 public:
  using OnEnd = std::function<void(const CallReport&)>;

  // `channel`: for a call that does not need a connection of its own. `on_end` comes from a thread
  // of gRPC, once, and must not block.
  static void Start(const std::string& address, std::shared_ptr<grpc::Channel> channel,
                    CallPlan plan, OnEnd on_end);

  // Reactions of gRPC.
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  SoakCall(CallPlan plan, OnEnd on_end);

  void Begin(const std::string& address, std::shared_ptr<grpc::Channel> channel);
  void Interrupt();
  // Lets `action` run after the plan's delay. REQUIRES: within a reaction, or before the start.
  void After(std::function<void()> action);
  CallReport Report(const grpc::Status& status) const;

  const CallPlan plan_;
  const OnEnd on_end_;
  std::unique_ptr<FragileConnection> connection_;  // for those that need their own
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  v1::GenerateResponse message_;  // being read
  AnswerCheck check_;
  grpc::Alarm alarm_;
};

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_SOAK_CALL_H_
