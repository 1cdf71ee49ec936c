// ServedModel: what the server knows of the model that it serves.
//
// Owns nothing: server/loaded_model.h has the owner. Constant while served, but for the model
// itself, which belongs to the engine's thread.
#ifndef WINNOW_SERVER_SERVED_MODEL_H_
#define WINNOW_SERVER_SERVED_MODEL_H_

#include "model/config.h"
#include "model/model.h"
#include "model/state_plan.h"
#include "model/state_spec.h"
#include "model/tokenizer/tokenizer.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

struct ServedModel {
  Model* model = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: none came with the checkpoint
  StatePlan plan;
  v1::GetModelInfoResponse info;
};

// The part of the description that follows from the configuration and the plan.
v1::GetModelInfoResponse DescribeModel(const ModelConfig& config, const StateSpec& spec,
                                       const StatePlan& plan);

}  // namespace winnow

#endif  // WINNOW_SERVER_SERVED_MODEL_H_
