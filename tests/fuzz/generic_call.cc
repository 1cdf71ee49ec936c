#include "tests/fuzz/generic_call.h"

#include "grpcpp/generic/generic_stub.h"
#include "kernels/check.h"

namespace winnow {
namespace {

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  WINNOW_CHECK(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// One operation at a time: whether it succeeded.
bool Next(grpc::CompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  WINNOW_CHECK(queue->Next(&tag, &ok));
  return ok;
}

}  // namespace

GenericOutcome RunGenericCall(const std::shared_ptr<grpc::Channel>& channel,
                              const std::string& method, const std::string& request,
                              std::optional<size_t> cancel_after) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  GenericOutcome outcome;
  auto call = grpc::GenericStub(channel).PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  Next(&queue);
  call->WriteLast(ToBuffer(request), {}, nullptr);
  Next(&queue);
  for (;;) {
    if (outcome.messages.size() == cancel_after) context.TryCancel();
    grpc::ByteBuffer message;
    call->Read(&message, nullptr);
    if (!Next(&queue)) break;
    outcome.messages.push_back(ToString(message));
  }
  call->Finish(&outcome.status, nullptr);
  Next(&queue);
  queue.Shutdown();
  return outcome;
}

}  // namespace winnow
