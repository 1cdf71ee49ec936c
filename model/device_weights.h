// Weights in the memory of a backend that does not read them where the checkpoint's file is mapped.
//
//   auto host = Weights::Load(directory, config);
//   auto weights = PlaceWeights(*std::move(host), backend, progress);
#ifndef WINNOW_MODEL_DEVICE_WEIGHTS_H_
#define WINNOW_MODEL_DEVICE_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/weights.h"

namespace winnow {

// Bytes that PlaceWeights allocates; 0 where weights are read in place.
int64_t PlacedBytes(const Weights& weights, const Backend& backend);

// `weights` themselves where the backend reads them in place. Otherwise a copy in memory of the
// backend, which must outlive it: matrices in the backend's type, everything from multiples of 256
// bytes on, each block once. `progress(done, total)` is called with bytes of the device as they
// are copied, from time to time and at the end. RESOURCE_EXHAUSTED naming what is needed and what
// there is when they do not fit.
absl::StatusOr<std::unique_ptr<const Weights>> PlaceWeights(
    std::unique_ptr<const Weights> weights, Backend* backend,
    const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace winnow

#endif  // WINNOW_MODEL_DEVICE_WEIGHTS_H_
