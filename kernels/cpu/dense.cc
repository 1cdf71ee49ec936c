#include "kernels/cpu/dense.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/batch.h"
#include "kernels/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/drawn_token.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dense.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {
namespace {

void WidenBF16(const BF16* HWY_RESTRICT from, int64_t n, float* HWY_RESTRICT to) {
  const uint16_t* HWY_RESTRICT bits = &from->bits;
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const hn::RebindToUnsigned<decltype(d)> du32;
    const hn::Rebind<uint16_t, decltype(d)> du16;
    const auto wide = hn::PromoteTo(du32, hn::LoadU(du16, bits + i));
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(wide)), d, to + i);
  });
}

void AddInPlace(const float* HWY_RESTRICT delta, int64_t n, float* HWY_RESTRICT x) {
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, delta + i)), d, x + i);
  });
}

HWY_INLINE float InverseRms(const float* HWY_RESTRICT x, int64_t n, float eps) {
  return 1.0f / std::sqrt(SumOfSquares(x, n) / static_cast<float>(n) + eps);
}

void NormRow(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weight, int64_t n, float eps,
             float* HWY_RESTRICT out) {
  const float scale = InverseRms(x, n, eps);
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, scale));
    hn::StoreU(hn::Mul(scaled, hn::LoadU(d, weight + i)), d, out + i);
  });
}

// `gate` may be null.
void GatedNormRow(const float* HWY_RESTRICT weight, const float* HWY_RESTRICT gate, int64_t n,
                  float eps, float* HWY_RESTRICT o) {
  const float scale = InverseRms(o, n, eps);
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(d, o + i), hn::Set(d, scale));
    auto y = hn::Mul(scaled, hn::LoadU(d, weight + i));
    if (gate != nullptr) y = hn::Mul(y, Silu(d, hn::LoadU(d, gate + i)));
    hn::StoreU(y, d, o + i);
  });
}

// Turns the pairs (x[i], x[i + half]).
void TurnHead(const float* HWY_RESTRICT cos, const float* HWY_RESTRICT sin, int64_t half,
              float* HWY_RESTRICT x) {
  ForVectors(half, [&](auto d, int64_t i) HWY_ATTR {
    const auto c = hn::LoadU(d, cos + i);
    const auto s = hn::LoadU(d, sin + i);
    const auto a = hn::LoadU(d, x + i);
    const auto b = hn::LoadU(d, x + half + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + half + i);
  });
}

// `out` may be `gate` or `up`.
void SwiGluRow(const float* gate, const float* up, int64_t n, float* out) {
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto y = Silu(d, hn::LoadU(d, gate + i));
    hn::StoreU(hn::Mul(y, hn::LoadU(d, up + i)), d, out + i);
  });
}

void SiluRow(float* x, int64_t n) {
  ForVectors(
      n, [&](auto d, int64_t i) HWY_ATTR { hn::StoreU(Silu(d, hn::LoadU(d, x + i)), d, x + i); });
}

}  // namespace
}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {
namespace {

HWY_EXPORT(WidenBF16);
HWY_EXPORT(AddInPlace);
HWY_EXPORT(NormRow);
HWY_EXPORT(GatedNormRow);
HWY_EXPORT(TurnHead);
HWY_EXPORT(SwiGluRow);
HWY_EXPORT(SiluRow);

// Elements of a task: some microseconds, so that the pool's overhead does not show.
constexpr int64_t kCopyGrain = 16384;
constexpr int64_t kExpGrain = 4096;
constexpr int64_t kAngleGrain =
    64;  // a sine and a cosine in float64 take about as long as 50 of the others

// Rows of which a task has about `grain` elements.
int64_t RowsPerTask(int64_t row_size, int64_t grain) {
  return std::max<int64_t>(1, grain / std::max<int64_t>(1, row_size));
}

void CheckShape(const TensorView& tensor, std::initializer_list<int64_t> shape, const char* name) {
  WINNOW_CHECK(tensor.rank == static_cast<int>(shape.size()))
      << name << " has rank " << tensor.rank;
  int i = 0;
  for (const int64_t n : shape) {
    WINNOW_CHECK(tensor.dim(i) == n)
        << name << " dim " << i << ": " << tensor.dim(i) << ", not " << n;
    ++i;
  }
}

void WidenRow(const WeightMatrix& table, int64_t row, float* out) {
  const int64_t n = table.cols;
  const auto* bytes = static_cast<const std::byte*>(table.data) + row * n * DTypeBytes(table.dtype);
  switch (table.dtype) {
    case DType::kF32:
      std::memcpy(out, bytes, n * sizeof(float));
      return;
    case DType::kBF16:
      HWY_DYNAMIC_DISPATCH(WidenBF16)(reinterpret_cast<const BF16*>(bytes), n, out);
      return;
    case DType::kF16: {
      const F16* from = reinterpret_cast<const F16*>(bytes);
      for (int64_t i = 0; i < n; ++i) out[i] = ToFloat(from[i]);
      return;
    }
    case DType::kI32:
    case DType::kI64:
      break;
  }
  WINNOW_CHECK(false) << "embedding of " << DTypeName(table.dtype);
}

}  // namespace

void Embed(ThreadPool& pool, const EmbedArgs& args) {
  const int64_t num_tokens = args.out.dim(0);
  const int64_t width = args.table.cols;
  CheckShape(args.out, {num_tokens, width}, "out");
  ParallelBlocks(pool, num_tokens, RowsPerTask(width, kCopyGrain), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const uint32_t token = TokenId(args.tokens[t], args.drawn);
      WINNOW_CHECK(token < args.table.rows) << token << " of " << args.table.rows;
      WidenRow(args.table, token, args.out.row<float>(t));
    }
  });
}

void RmsNorm(ThreadPool& pool, const RmsNormArgs& args) {
  const int64_t num_tokens = args.x.dim(0);
  const int64_t width = args.x.dim(1);
  const bool has_delta = args.delta.rank != 0;
  CheckShape(args.out, {num_tokens, width}, "out");
  if (has_delta) CheckShape(args.delta, {num_tokens, width}, "delta");
  ParallelBlocks(pool, num_tokens, RowsPerTask(width, kCopyGrain), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* x = args.x.row<float>(t);
      if (has_delta) HWY_DYNAMIC_DISPATCH(AddInPlace)(args.delta.row<float>(t), width, x);
      HWY_DYNAMIC_DISPATCH(NormRow)(x, args.weight, width, args.eps, args.out.row<float>(t));
    }
  });
}

void RopeTable(ThreadPool& pool, const RopeTableArgs& args) {
  const int64_t num_tokens = args.cos_sin.dim(0);
  const int64_t half = args.cos_sin.dim(2);
  CheckShape(args.cos_sin, {num_tokens, 2, half}, "cos_sin");
  std::vector<double> frequency(half);
  for (int64_t i = 0; i < half; ++i) {
    frequency[i] = std::pow(args.theta, -static_cast<double>(i) / static_cast<double>(half));
  }
  ParallelBlocks(pool, num_tokens, RowsPerTask(half, kAngleGrain), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const double position = static_cast<double>(args.positions[t]);
      float* cos = args.cos_sin.row<float>(t);
      float* sin = cos + half;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position * frequency[i];
        cos[i] = static_cast<float>(std::cos(angle));
        sin[i] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

void Rope(ThreadPool& pool, const RopeArgs& args) {
  const int64_t num_tokens = args.x.dim(0);
  const int64_t num_heads = args.x.dim(1);
  const int64_t head_dim = args.x.dim(2);
  const int64_t half = head_dim / 2;
  WINNOW_CHECK(head_dim % 2 == 0) << "head_dim " << head_dim;
  CheckShape(args.x, {num_tokens, num_heads, head_dim}, "x");
  CheckShape(args.cos_sin, {num_tokens, 2, half}, "cos_sin");
  const int64_t rows = RowsPerTask(num_heads * head_dim, kCopyGrain);
  ParallelBlocks(pool, num_tokens, rows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cos = args.cos_sin.row<float>(t);
      for (int64_t h = 0; h < num_heads; ++h) {
        HWY_DYNAMIC_DISPATCH(TurnHead)(cos, cos + half, half, args.x.row<float>(t) + h * head_dim);
      }
    }
  });
}

void SwiGlu(ThreadPool& pool, const SwiGluArgs& args) {
  const int64_t num_tokens = args.out.dim(0);
  const int64_t width = args.out.dim(1);
  CheckShape(args.gate, {num_tokens, width}, "gate");
  CheckShape(args.up, {num_tokens, width}, "up");
  ParallelTiles(pool, num_tokens, width, kExpGrain, [&](int64_t t, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SwiGluRow)
    (args.gate.row<float>(t) + begin, args.up.row<float>(t) + begin, end - begin,
     args.out.row<float>(t) + begin);
  });
}

void Silu(ThreadPool& pool, const SiluArgs& args) {
  WINNOW_CHECK(args.x.rank == 2) << "x has rank " << args.x.rank;
  ParallelTiles(pool, args.x.dim(0), args.x.dim(1), kExpGrain,
                [&](int64_t t, int64_t begin, int64_t end) {
                  HWY_DYNAMIC_DISPATCH(SiluRow)(args.x.row<float>(t) + begin, end - begin);
                });
}

void GatedRmsNorm(ThreadPool& pool, const GatedRmsNormArgs& args) {
  const int64_t num_tokens = args.o.dim(0);
  const int64_t num_heads = args.o.dim(1);
  const int64_t head_dim = args.o.dim(2);
  const bool has_gate = args.gate.rank != 0;
  CheckShape(args.o, {num_tokens, num_heads, head_dim}, "o");
  if (has_gate) CheckShape(args.gate, {num_tokens, num_heads, head_dim}, "gate");
  const int64_t heads = RowsPerTask(head_dim, kExpGrain);
  ParallelBlocks(pool, num_tokens * num_heads, heads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / num_heads;
      const int64_t offset = i % num_heads * head_dim;
      const float* gate = has_gate ? args.gate.row<float>(t) + offset : nullptr;
      HWY_DYNAMIC_DISPATCH(GatedNormRow)
      (args.weight, gate, head_dim, args.eps, args.o.row<float>(t) + offset);
    }
  });
}

void GatherRows(ThreadPool& pool, const GatherRowsArgs& args) {
  const int64_t num_rows = args.out.dim(0);
  const int64_t width = args.x.dim(1);
  CheckShape(args.out, {num_rows, width}, "out");
  ParallelBlocks(pool, num_rows, RowsPerTask(width, kCopyGrain), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = args.rows[i];
      WINNOW_CHECK(row >= 0 && row < args.x.dim(0)) << "row " << row << " of " << args.x.dim(0);
      std::memcpy(args.out.row<float>(i), args.x.row<float>(row), width * sizeof(float));
    }
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
