#include "client/count_tokens.h"

#include "absl/strings/str_cat.h"
#include "grpcpp/client_context.h"

namespace winnow {

absl::StatusOr<int64_t> CountTokens(v1::GenerationService::Stub* stub,
                                    const std::string& authorization, const std::string& text) {
  grpc::ClientContext context;
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  v1::TokenizeRequest request;
  request.set_text(text);
  request.set_skip_special_tokens(true);
  v1::TokenizeResponse response;
  const grpc::Status status = stub->Tokenize(&context, request, &response);
  if (status.ok()) return response.ids_size();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("Tokenize: ", status.error_message()));
}

}  // namespace winnow
