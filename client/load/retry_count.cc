#include "client/load/retry_count.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "grpc/grpc.h"
#include "grpc/support/alloc.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

using nlohmann::json;

// An entity as channelz renders it (grpc/proto/grpc/channelz/v1); it owns the text.
json Parse(char* text) {
  if (text == nullptr) return json::object();
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  gpr_free(text);
  return parsed.is_object() ? parsed : json::object();
}

// 64-bit numbers are strings there; a missing one is 0.
int64_t Number(const json& object, const char* key) {
  int64_t number = 0;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return 0;
  return absl::SimpleAtoi(found->get<std::string>(), &number) ? number : 0;
}

int64_t CallsStarted(const json& entity) {
  const auto data = entity.find("data");
  return data == entity.end() ? 0 : Number(*data, "callsStarted");
}

int64_t TimesReady(const json& subchannel) {
  const json::json_pointer events("/data/trace/events");
  if (!subchannel.contains(events)) return 0;
  int64_t times = 0;
  for (const json& event : subchannel[events]) {
    times += event.value("description", "") == "Subchannel state change to READY";
  }
  return times;
}

int64_t RetriesOf(const json& channel) {
  int64_t retries = -CallsStarted(channel);
  for (const json& ref : channel.value("subchannelRef", json::array())) {
    const json answer = Parse(grpc_channelz_get_subchannel(Number(ref, "subchannelId")));
    const json subchannel = answer.value("subchannel", json::object());
    retries += CallsStarted(subchannel) - TimesReady(subchannel);
  }
  return retries;
}

}  // namespace

int64_t CountRetries() {
  int64_t retries = 0, next = 0;
  while (true) {
    const json page = Parse(grpc_channelz_get_top_channels(next));
    for (const json& channel : page.value("channel", json::array())) {
      retries += std::max<int64_t>(0, RetriesOf(channel));
      const json ref = channel.value("ref", json::object());
      next = std::max(next, Number(ref, "channelId") + 1);
    }
    if (page.value("end", true)) return retries;
  }
}

}  // namespace winnow::load
