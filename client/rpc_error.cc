#include "client/rpc_error.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow {
namespace {

google::rpc::Status Decode(const RpcError& error) {
  google::rpc::Status status;
  if (!status.ParseFromString(error.details)) status.Clear();
  return status;
}

// The detail of an Any as JSON; its bytes' number where the type is not known here.
nlohmann::json DetailToJson(const google::protobuf::Any& any) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (google::protobuf::util::MessageToJsonString(any, &text, options).ok()) {
    return nlohmann::json::parse(text);
  }
  return {{"@type", any.type_url()}, {"bytes", any.value().size()}};
}

void DescribeDetail(const google::protobuf::Any& any, std::string* out) {
  google::rpc::RetryInfo retry;
  google::rpc::ErrorInfo info;
  if (any.UnpackTo(&retry)) {
    const double seconds =
        static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9;
    absl::StrAppend(out, "\n  try again after ", seconds, " s");
  } else if (any.UnpackTo(&info)) {
    absl::StrAppend(out, "\n  reason ", info.reason());
    for (const auto& [key, value] : info.metadata()) absl::StrAppend(out, ", ", key, " ", value);
  }
  // BadRequest and QuotaFailure say what the message says.
}

}  // namespace

std::string DescribeError(const RpcError& error) {
  std::string text = absl::StrCat(absl::StatusCodeToString(error.code), ": ", error.message);
  const google::rpc::Status status = Decode(error);
  for (const auto& any : status.details()) DescribeDetail(any, &text);
  return text;
}

nlohmann::json ErrorToJson(const RpcError& error) {
  nlohmann::json json = {{"code", absl::StatusCodeToString(error.code)},
                         {"message", error.message},
                         {"details", nlohmann::json::array()}};
  const google::rpc::Status status = Decode(error);
  for (const auto& any : status.details()) json["details"].push_back(DetailToJson(any));
  return json;
}

}  // namespace winnow
