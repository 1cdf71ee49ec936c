// How many attempts gRPC made beyond the first: it retries below what a call can see.
#ifndef WINNOW_CLIENT_LOAD_RETRY_COUNT_H_
#define WINNOW_CLIENT_LOAD_RETRY_COUNT_H_

#include <cstdint>

namespace winnow::load {

// How much gRPC may remember of a connection's history, in bytes (GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_
// MEMORY_PER_NODE): CountRetries reads it.
inline constexpr int kTraceBytes = 1 << 20;

// Of all channels of this process since their start, from gRPC's own statistics (channelz): calls
// started on connections, less calls started on channels, less one for each time that a connection
// became ready: the call that watches the server's health. REQUIRES: all channels have service
// configs with health checking and kTraceBytes. An attempt that found no connection at all is not
// among them.
int64_t CountRetries();

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_RETRY_COUNT_H_
