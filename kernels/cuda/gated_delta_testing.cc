#include "kernels/cuda/gated_delta_testing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <utility>

#include "kernels/check.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda::testing {
namespace {

using ::winnow::testing::kPoison;
using ::winnow::testing::RandomFloats;

void CheckCuda(cudaError_t error) {
  WINNOW_CHECK(error == cudaSuccess) << cudaGetErrorString(error);
}

std::vector<double> Normalised(const float* x, int64_t n, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  std::vector<double> y(n);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] / std::sqrt(sum + 1e-6) * scale;
  return y;
}

// One token of one head.
void ReferenceStep(const std::vector<double>& q, const std::vector<double>& k, const float* v,
                   double g, double beta, double* state, double* out, int64_t value_dim) {
  const int64_t key_dim = static_cast<int64_t>(k.size());
  const double decay = std::exp(g);
  std::vector<double> y(value_dim);
  for (int64_t i = 0; i < key_dim; ++i) {
    double* row = state + i * value_dim;
    for (int64_t c = 0; c < value_dim; ++c) y[c] += (row[c] *= decay) * k[i];
  }
  for (int64_t c = 0; c < value_dim; ++c) y[c] = beta * (v[c] - y[c]);
  std::fill_n(out, value_dim, 0.0);
  for (int64_t i = 0; i < key_dim; ++i) {
    double* row = state + i * value_dim;
    for (int64_t c = 0; c < value_dim; ++c) out[c] += (row[c] += k[i] * y[c]) * q[i];
  }
}

// Rows of one input or output with gaps between them, kPoison in the gaps, and a copy of them in
// device memory.
class Rows {
 public:
  Rows(int64_t num_rows, std::initializer_list<int64_t> inner, int64_t gap, DType dtype)
      : view_(TensorView::Of(nullptr, dtype, {num_rows})), gap_(gap) {
    for (const int64_t n : inner) view_.shape[view_.rank++] = n;
    view_.row_stride = row_size() + gap;
    values_.assign(num_rows * view_.row_stride, kPoison);
  }

  // The rows [from, from + num_rows) of `all` become the rows from `to` on.
  void Fill(const std::vector<float>& all, int64_t from, int64_t num_rows, int64_t to) {
    for (int64_t i = 0; i < num_rows; ++i) {
      std::copy_n(all.begin() + (from + i) * row_size(), row_size(),
                  values_.begin() + (to + i) * view_.row_stride);
    }
  }
  TensorView Upload() {
    memory_ = std::make_unique<DeviceBytes>(ToBytes(values_, view_.dtype));
    view_.raw = memory_->as<void>();
    return view_;
  }
  // The rows from device memory; a test failure if a gap has changed.
  std::vector<float> Download() const {
    const std::vector<float> before = ToFloats(ToBytes(values_, view_.dtype), view_.dtype);
    const std::vector<float> after = ToFloats(memory_->Download(), view_.dtype);
    std::vector<float> rows;
    for (size_t at = 0; at < after.size(); at += view_.row_stride) {
      rows.insert(rows.end(), after.begin() + at, after.begin() + at + row_size());
      const size_t gap = at + row_size();
      EXPECT_EQ(0, std::memcmp(&after[gap], &before[gap], gap_ * sizeof(float)))
          << "the gap after a row was written";
    }
    return rows;
  }

 private:
  int64_t row_size() const { return view_.RowSize(); }

  TensorView view_;
  int64_t gap_;
  std::vector<float> values_;
  std::unique_ptr<DeviceBytes> memory_;
};

// The step's batch and the slots of its sequences.
struct StepBatch {
  explicit StepBatch(const std::vector<DeltaPiece>& pieces) {
    for (size_t i = 0; i < pieces.size(); ++i) {
      const DeltaPiece& piece = pieces[i];
      for (int64_t t = piece.begin; t < piece.end; ++t) {
        positions.push_back(piece.inputs->first_position + t);
      }
      offsets.push_back(static_cast<int32_t>(positions.size()));
      slots.push_back(static_cast<int32_t>(2 * (pieces.size() - i)));  // unused ones between
      max_rows = std::max(max_rows, piece.end - piece.begin);
    }
  }
  int64_t num_slots() const { return 2 * static_cast<int64_t>(slots.size()) + 2; }

  std::vector<int64_t> positions;
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> slots;
  int64_t max_rows = 0;
};

// The slots' memory of a step: S of its sequences, kPoison everywhere else.
class Slots {
 public:
  Slots(const DeltaShape& shape, const DeltaMemory& memory, const StepBatch& batch)
      : memory_(memory),
        batch_(batch),
        state_size_(shape.state_size()),
        stride_(state_size_ + memory.slot_gap),
        values_(memory.slot_gap + batch.num_slots() * stride_, kPoison) {}

  void Fill(size_t sequence, const std::vector<float>& state) {
    std::copy(state.begin(), state.end(), values_.begin() + Begin(sequence));
  }
  SlotField Upload() {
    device_ = std::make_unique<DeviceBytes>(ToBytes(values_, memory_.state_dtype));
    const int64_t element = DTypeBytes(memory_.state_dtype);
    return {.base = device_->as<std::byte>() + memory_.slot_gap * element,
            .slot_stride_bytes = stride_ * element};
  }
  // The sequences' states from device memory; a test failure if anything else has changed.
  std::vector<std::vector<float>> Download() const {
    const DType dtype = memory_.state_dtype;
    const std::vector<float> before = ToFloats(ToBytes(values_, dtype), dtype);
    std::vector<float> after = ToFloats(device_->Download(), dtype);
    std::vector<std::vector<float>> states;
    for (size_t i = 0; i < batch_.slots.size(); ++i) {
      const auto begin = after.begin() + Begin(i);
      states.emplace_back(begin, begin + state_size_);
      std::copy_n(before.begin() + Begin(i), state_size_, begin);
    }
    EXPECT_EQ(0, std::memcmp(after.data(), before.data(), after.size() * sizeof(float)))
        << "memory beside the states was written";
    return states;
  }

 private:
  int64_t Begin(size_t sequence) const {
    return memory_.slot_gap + batch_.slots[sequence] * stride_;
  }

  const DeltaMemory& memory_;
  const StepBatch& batch_;
  const int64_t state_size_;
  const int64_t stride_;
  std::vector<float> values_;
  std::unique_ptr<DeviceBytes> device_;
};

}  // namespace

void DeltaInputs::Round() {
  for (std::vector<float>* x : {&q, &k, &v, &a, &b}) *x = ToFloats(ToBytes(*x, dtype), dtype);
}

DeltaLayer RandomDeltaLayer(const DeltaShape& shape, float beta_scale, uint64_t seed) {
  return {.shape = shape,
          .a_log = RandomFloats(shape.value_heads, seed, -3, 2),
          .dt_bias = RandomFloats(shape.value_heads, seed + 1, -4, 1),
          .beta_scale = beta_scale};
}

DeltaInputs RandomDeltaInputs(const DeltaShape& shape, DType dtype, int64_t num_rows,
                              uint64_t seed) {
  DeltaInputs s;
  s.num_rows = num_rows;
  s.dtype = dtype;
  s.q = RandomFloats(num_rows * shape.key_heads * shape.key_dim, seed, -2, 3);
  s.k = RandomFloats(num_rows * shape.key_heads * shape.key_dim, seed + 1, -1, 2);
  s.v = RandomFloats(num_rows * shape.value_heads * shape.value_dim, seed + 2, -2, 2);
  s.a = RandomFloats(num_rows * shape.value_heads, seed + 3, -3, 3);
  s.b = RandomFloats(num_rows * shape.value_heads, seed + 4, -4, 4);
  s.state = RandomFloats(shape.state_size(), seed + 5);
  s.Round();
  return s;
}

DeltaResult DeltaReference(const DeltaLayer& layer, const DeltaInputs& s) {
  const DeltaShape& n = layer.shape;
  DeltaResult r{.out = std::vector<double>(s.v.size()),
                .state = std::vector<double>(s.state.begin(), s.state.end())};
  for (int64_t t = 0; t < s.num_rows; ++t) {
    for (int64_t h = 0; h < n.value_heads; ++h) {
      const int64_t key_row = (t * n.key_heads + h / (n.value_heads / n.key_heads)) * n.key_dim;
      const int64_t gate = t * n.value_heads + h;
      const double x = double{s.a[gate]} + layer.dt_bias[h];
      const double softplus = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
      const double g = -std::exp(double{layer.a_log[h]}) * softplus;
      const double beta = layer.beta_scale / (1 + std::exp(-double{s.b[gate]}));
      ReferenceStep(Normalised(&s.q[key_row], n.key_dim, 1 / std::sqrt(double(n.key_dim))),
                    Normalised(&s.k[key_row], n.key_dim, 1), &s.v[gate * n.value_dim], g, beta,
                    &r.state[h * n.key_dim * n.value_dim], &r.out[gate * n.value_dim], n.value_dim);
    }
  }
  return r;
}

double RelativeError(std::span<const float> x, std::span<const double> expected) {
  if (x.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - expected[i]) * (x[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  if (std::isnan(error)) return std::numeric_limits<double>::infinity();
  return norm == 0 ? std::sqrt(error) : std::sqrt(error / norm);
}

DeviceBytes::DeviceBytes(size_t size) : size_(size) {
  CheckCuda(cudaMalloc(&pointer_, std::max<size_t>(size, 1)));
}
DeviceBytes::DeviceBytes(std::span<const std::byte> content) : DeviceBytes(content.size()) {
  CheckCuda(cudaMemcpy(pointer_, content.data(), content.size(), cudaMemcpyHostToDevice));
}
DeviceBytes::~DeviceBytes() { cudaFree(pointer_); }

std::vector<std::byte> DeviceBytes::Download() const {
  std::vector<std::byte> content(size_);
  CheckCuda(cudaMemcpy(content.data(), pointer_, size_, cudaMemcpyDeviceToHost));
  return content;
}

std::vector<std::byte> ToBytes(std::span<const float> values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * DTypeBytes(dtype));
  if (dtype == DType::kF32) {
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const BF16 x = ToBF16(values[i]);
    std::memcpy(&bytes[2 * i], &x, 2);
  }
  return bytes;
}

std::vector<float> ToFloats(std::span<const std::byte> bytes, DType dtype) {
  std::vector<float> values(bytes.size() / DTypeBytes(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(&values[i], &bytes[4 * i], 4);
    } else {
      BF16 x;
      std::memcpy(&x, &bytes[2 * i], 2);
      values[i] = ToFloat(x);
    }
  }
  return values;
}

void RunDeltaStep(const DeltaLayer& layer, const DeltaMemory& memory,
                  const std::vector<DeltaPiece>& pieces, const DeltaLaunch& launch) {
  const DeltaShape& n = layer.shape;
  const StepBatch batch(pieces);
  const int64_t num_tokens = static_cast<int64_t>(batch.positions.size());
  const DType dtype = pieces.empty() ? DType::kF32 : pieces[0].inputs->dtype;
  const auto rows = [&](std::initializer_list<int64_t> inner) {
    return Rows(num_tokens, inner, memory.row_gap, dtype);
  };
  Rows q = rows({n.key_heads, n.key_dim}), k = rows({n.key_heads, n.key_dim});
  Rows v = rows({n.value_heads, n.value_dim}), out = rows({n.value_heads, n.value_dim});
  Rows a = rows({n.value_heads}), b = rows({n.value_heads});
  Slots slots(n, memory, batch);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const DeltaPiece& piece = pieces[i];
    const DeltaInputs& s = *piece.inputs;
    const std::pair<Rows*, const std::vector<float>*> inputs[] = {
        {&q, &s.q}, {&k, &s.k}, {&v, &s.v}, {&a, &s.a}, {&b, &s.b}};
    for (const auto& [to, from] : inputs) {
      to->Fill(*from, piece.begin, piece.end - piece.begin, batch.offsets[i]);
    }
    slots.Fill(i, s.state);
  }
  const DeviceBytes positions(batch.positions), offsets(batch.offsets), slot_ids(batch.slots);
  const DeviceBytes a_log(layer.a_log), dt_bias(layer.dt_bias);
  EXPECT_EQ(cudaSuccess, launch({.batch = {.num_tokens = num_tokens,
                                           .num_sequences = static_cast<int64_t>(pieces.size()),
                                           .max_tokens_per_sequence = batch.max_rows,
                                           .positions = positions.as<int64_t>(),
                                           .row_offsets = offsets.as<int32_t>(),
                                           .slots = slot_ids.as<int32_t>()},
                                 .q = q.Upload(),
                                 .k = k.Upload(),
                                 .v = v.Upload(),
                                 .a = a.Upload(),
                                 .b = b.Upload(),
                                 .a_log = a_log.as<float>(),
                                 .dt_bias = dt_bias.as<float>(),
                                 .beta_scale = layer.beta_scale,
                                 .state = slots.Upload(),
                                 .state_dtype = memory.state_dtype,
                                 .out = out.Upload()}));
  CheckCuda(cudaDeviceSynchronize());

  const std::vector<float> rows_out = out.Download();
  const std::vector<std::vector<float>> states = slots.Download();
  const int64_t out_row = n.value_heads * n.value_dim;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const DeltaPiece& piece = pieces[i];
    piece.inputs->state = states[i];
    piece.out->resize(piece.inputs->v.size(), kPoison);
    std::copy(rows_out.begin() + batch.offsets[i] * out_row,
              rows_out.begin() + batch.offsets[i + 1] * out_row,
              piece.out->begin() + piece.begin * out_row);
  }
}

std::vector<float> RunDelta(const DeltaLayer& layer, const DeltaMemory& memory, DeltaInputs& inputs,
                            const std::vector<int64_t>& sizes, const DeltaLaunch& launch) {
  std::vector<float> out(inputs.v.size(), kPoison);
  size_t i = 0;
  for (int64_t begin = 0; begin < inputs.num_rows;) {
    const int64_t end = std::min(inputs.num_rows, begin + sizes[std::min(i++, sizes.size() - 1)]);
    RunDeltaStep(layer, memory, {{&inputs, begin, end, &out}}, launch);
    begin = end;
  }
  return out;
}

void DeviceTest::SetUp() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no CUDA device";
}

}  // namespace winnow::cuda::testing
