// ReferenceModel: the exact definition of the models in float64, one token in, one row of logits
// out.
//
// Slow and plain on purpose, and independent of kernels/: it shares only the config and the file
// reader with the engine. Retention keeps dictionaries of positions and decides token by token, so
// it also defines what chunked prompts must mean. Sources: Gated DeltaNet arXiv 2412.06464;
// learnable token eviction arXiv 2510.20787.
#ifndef WINNOW_TESTS_REFERENCE_REFERENCE_MODEL_H_
#define WINNOW_TESTS_REFERENCE_REFERENCE_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config.h"

namespace winnow::reference {

// A tensor of the checkpoint as doubles.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> data;
};
using Checkpoint = std::map<std::string, Tensor, std::less<>>;
using Vector = std::vector<double>;

// One layer's token mixer with its state.
class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual Vector Step(const Vector& x, int64_t position) = 0;
  // Tokens retained per kv head; empty for kinds without retention.
  virtual std::vector<int64_t> KeptCounts() const { return {}; }
};

class ReferenceModel {
 public:
  // Reads config.json and model.safetensors of `directory`.
  static absl::StatusOr<std::unique_ptr<ReferenceModel>> Load(const std::string& directory);

  const ModelConfig& config() const { return config_; }
  // Computes the next token of the sequence; returns the logits after it.
  Vector Step(uint32_t token);
  // Begins a new sequence.
  void Reset();
  std::vector<int64_t> KeptCounts() const;

 private:
  ReferenceModel(ModelConfig config, Checkpoint checkpoint);

  const ModelConfig config_;
  const Checkpoint checkpoint_;
  std::vector<std::unique_ptr<Mixer>> mixers_;
  int64_t position_ = 0;
};

// log(softmax(logits)).
Vector LogSoftmax(const Vector& logits);

}  // namespace winnow::reference

#endif  // WINNOW_TESTS_REFERENCE_REFERENCE_MODEL_H_
