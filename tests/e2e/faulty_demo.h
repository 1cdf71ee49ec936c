// The demo checkpoint on a FaultyBackend, for end-to-end tests of failures.
#ifndef WINNOW_TESTS_E2E_FAULTY_DEMO_H_
#define WINNOW_TESTS_E2E_FAULTY_DEMO_H_

#include <memory>

#include "absl/status/status.h"
#include "model/config.h"
#include "model/model.h"
#include "model/weights.h"
#include "server/options.h"
#include "server/served_model.h"
#include "tests/e2e/faulty_backend.h"

namespace winnow {

// Puts together what LoadModel (server/loaded_model.h) does, without a tokenizer. CHECKs that the
// checkpoint and the options are good; memory may be refused.
class FaultyDemo {
 public:
  // 8 sequences on two threads.
  static Options ServerOptions();

  explicit FaultyDemo(const Options& options, int max_in_flight = 1);

  FaultyBackend& backend() { return *backend_; }
  // Allocates the model's memory. Before this there is nothing to serve.
  absl::Status CreateModel();
  const ServedModel& served() const { return served_; }

 private:
  const Options options_;
  const int max_in_flight_;  // steps, of the model
  // In the order in which each needs the ones before it.
  ModelConfig config_;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<FaultyBackend> backend_;
  std::unique_ptr<Model> model_;
  ServedModel served_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_FAULTY_DEMO_H_
