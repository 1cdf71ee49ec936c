// Model: runs steps. The interface that the engine loop sees; HybridModel (model/hybrid_model.h)
// implements it, tests fake it.
//
// Steps run one after the other, in the order in which they are launched. Where the model computes
// beside its caller, the next step may be launched while one runs, so that it follows without a
// gap: up to max_in_flight() steps are launched and not yet waited for. One thread. Const
// otherwise: all sequence state lies in the StateStore that the implementation was given.
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

  // 1: launching a step before the last one was waited for gains nothing, and is not allowed.
  // Else 2.
  virtual int max_in_flight() const { return 1; }

  // Starts a step; `batch` is read before it returns. REQUIRES: the batch is not empty, fits the
  // limits that the model was made for, refers to valid slots and pages (CHECKed), and fewer than
  // max_in_flight() steps are in flight. An error means what an error of Wait means, and there is
  // no step to wait for. Its sequences must not be in a later step: their page tables may lack what
  // this one was to edit.
  virtual absl::Status Launch(const StepBatch& batch) = 0;

  // Waits for the oldest step in flight and fills `result`. An error means the step failed as a
  // whole: the state of its sequences is lost, and what a step launched since computes of them is
  // worthless. INTERNAL: other sequences are unharmed and the next step may be launched; DATA_LOSS:
  // the device is gone and nothing more can run.
  virtual absl::Status Wait(StepResult* result) = 0;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_MODEL_H_
