// ServiceContext: what all calls of the service share.
//
// Owned by the Server and made before the first call. Constant from then on, except for what is
// thread-safe by itself.
#ifndef WINNOW_SERVER_SERVICE_CONTEXT_H_
#define WINNOW_SERVER_SERVICE_CONTEXT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/tokenizer/tokenizer.h"
#include "proto/winnow/v1/generation.pb.h"
#include "scheduler/engine.h"
#include "server/access.h"
#include "server/call_counter.h"
#include "server/call_counts.h"
#include "server/stream_facts.h"
#include "server/validate.h"
#include "server/work_queue.h"

namespace winnow {

struct ServiceContext {
  v1::GetModelInfoResponse info;
  RequestLimits limits;
  std::vector<KeptHead> kept_heads;
  int64_t stream_buffer_tokens = 0;
  size_t max_waiting_texts = 0;  // in text_queue

  bool log_requests = false;  // prompts go to the log

  const Access* access = nullptr;        // null: everybody may do everything
  const Tokenizer* tokenizer = nullptr;  // null: the model has none
  Engine* engine = nullptr;
  WorkQueue* text_queue = nullptr;      // long computations: tokenization
  WorkQueue* delivery_queue = nullptr;  // short ones: from the engine's output to gRPC

  std::atomic<bool> shutting_down{false};
  CallCounter streams;  // Generate calls
  CallCounts call_counts;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_SERVICE_CONTEXT_H_
