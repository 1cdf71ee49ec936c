// LoadedModel: a checkpoint directory turned into everything that serving it needs.
//
// Loading checks the whole checkpoint and allocates all memory, so what goes wrong goes wrong at
// start, with one clear message.
#ifndef WINNOW_SERVER_LOADED_MODEL_H_
#define WINNOW_SERVER_LOADED_MODEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"
#include "model/weights.h"
#include "server/options.h"
#include "server/served_model.h"

namespace winnow {

struct LoadedModel {
  // In the order in which each needs the ones before it.
  std::unique_ptr<Backend> backend;
  std::unique_ptr<const Weights> weights;
  std::unique_ptr<Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;  // null: none came with the checkpoint

  ServedModel served;  // refers to the above
};

// Logs its progress. Errors name the file and what is wrong with it, or the flag that is too small.
absl::StatusOr<std::unique_ptr<LoadedModel>> LoadModel(const Options& options);

}  // namespace winnow

#endif  // WINNOW_SERVER_LOADED_MODEL_H_
