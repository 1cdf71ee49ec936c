// StreamFacts: what stays the same over a Generate stream. Made once per call, then constant.
#ifndef WINNOW_SERVER_STREAM_FACTS_H_
#define WINNOW_SERVER_STREAM_FACTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/choice_text.h"
#include "server/stop_scanner.h"
#include "server/validate.h"

namespace winnow {

// The (layer, kv head) of each kept list of the model, in the order of FinishInfo::kept_counts.
struct KeptHead {
  uint32_t layer = 0;
  uint32_t kv_head = 0;
};

struct StreamFacts {
  std::string request_id;
  std::string model;
  uint32_t num_prompt_tokens = 0;
  uint32_t num_choices = 1;
  uint64_t seed = 0;  // choice 0's
  OutputParams output;
  TextRules text_rules;
  std::shared_ptr<const StopStrings> stops;           // never null
  const std::vector<KeptHead>* kept_heads = nullptr;  // outlives the stream
};

}  // namespace winnow

#endif  // WINNOW_SERVER_STREAM_FACTS_H_
