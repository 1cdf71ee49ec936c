// Model: runs steps. The interface that the engine loop sees; HybridModel (model/hybrid_model.h)
// implements it, tests fake it.
//
// One step at a time: Launch, then Wait, by one thread. Const otherwise: all sequence state lies in
// the StateStore that the implementation was given.
#ifndef WINNOW_MODEL_MODEL_H_
#define WINNOW_MODEL_MODEL_H_

#include "absl/status/status.h"
#include "model/state_spec.h"
#include "model/step.h"

namespace winnow {

class Model {
 public:
  virtual ~Model() = default;

  virtual const StateSpec& state_spec() const = 0;

  // Starts a step. REQUIRES: the batch is not empty, fits the limits that the model was made for,
  // refers to valid slots and pages (CHECKed), and no step is in flight. `batch` must live until
  // Wait returns. An error means what an error of Wait means, and there is no step to wait for.
  virtual absl::Status Launch(const StepBatch& batch) = 0;

  // Waits for the step and fills `result`. An error means the step failed as a whole: the state of
  // its sequences is lost. INTERNAL: other sequences are unharmed and the next step may be
  // launched; DATA_LOSS: the device is gone and nothing more can run.
  virtual absl::Status Wait(StepResult* result) = 0;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_MODEL_H_
