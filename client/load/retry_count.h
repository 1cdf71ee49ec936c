// How many attempts gRPC made beyond the first: it retries below what a call can see.
#ifndef WINNOW_CLIENT_LOAD_RETRY_COUNT_H_
#define WINNOW_CLIENT_LOAD_RETRY_COUNT_H_

#include <cstdint>

namespace winnow::load {

// Of all channels of this process since their start, from gRPC's own statistics (channelz): calls
// started on connections less calls started on channels. An attempt that found no connection at all
// is not among them.
int64_t CountRetries();

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_RETRY_COUNT_H_
