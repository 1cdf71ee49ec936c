// CudaBackend's ops: shapes are checked, then a launcher is called.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/dense_kernels.h"
#include "kernels/cuda/departures.h"
#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/router.h"
#include "kernels/cuda/router_step.h"
#include "kernels/cuda/short_conv.h"
#include "kernels/cuda/state_kernels.h"
#include "kernels/cuda/status_macros.h"
#include "kernels/cuda/token_edits.h"
#include "kernels/cuda/write_kv.h"
#include "kernels/ops/position_score.h"

namespace winnow::cuda {
namespace {

void CheckRows(const TensorView& x, int64_t num_rows) {
  WINNOW_CHECK(x.dim(0) == num_rows) << x.dim(0) << " rows of " << num_rows;
}

// Same rows and the same elements in each.
void CheckAlike(const TensorView& x, const TensorView& y) {
  CheckRows(x, y.dim(0));
  WINNOW_CHECK(x.RowSize() == y.RowSize()) << x.RowSize() << " vs " << y.RowSize();
}

void CheckHeads(const TensorView& x, int64_t num_rows, int64_t heads, int64_t dim) {
  CheckRows(x, num_rows);
  WINNOW_CHECK(x.rank == 3 && x.dim(1) == heads && x.dim(2) == dim)
      << x.dim(1) << " heads of " << x.dim(2) << " vs " << heads << " of " << dim;
}

// Whether b's elements are the columns behind a's.
bool Adjoins(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.row_stride == b.row_stride &&
         static_cast<std::byte*>(a.raw) + a.RowSize() * DTypeBytes(a.dtype) == b.raw;
}

bool Adjoins(const WeightMatrix& a, const WeightMatrix& b) {
  return a.dtype == b.dtype && a.cols == b.cols &&
         static_cast<const std::byte*>(a.data) + a.bytes() == b.data;
}

// One product for as many of the group's, from `begin` on, as lie side by side; `end`: the next
// one.
LinearArgs Joined(const LinearGroupArgs& args, size_t begin, size_t* end) {
  LinearArgs joined = {.x = args.x, .weight = args.weights[begin], .out = args.outs[begin]};
  joined.out.rank = 2;
  joined.out.shape[1] = args.outs[begin].RowSize();
  size_t i = begin + 1;
  for (; i < args.weights.size(); ++i) {
    if (!Adjoins(args.weights[i - 1], args.weights[i]) ||
        !Adjoins(args.outs[i - 1], args.outs[i])) {
      break;
    }
    joined.weight.rows += args.weights[i].rows;
    joined.out.shape[1] += args.outs[i].RowSize();
  }
  joined.weight.bias = nullptr;  // each has its own
  *end = i;
  return joined;
}

RowResult Unpacked(const SampleRow& row, const SampleOutput& output) {
  RowResult result;
  result.fault = output.fault != 0;
  if (result.fault) return result;
  result.token = output.token;
  if (!row.reports) return result;
  result.logprob = output.logprob;
  result.rank = output.rank;
  return result;
}

}  // namespace

absl::Status CudaBackend::Embed(const EmbedArgs& args) {
  WINNOW_CHECK(args.out.RowSize() == args.table.cols)
      << args.out.RowSize() << " vs " << args.table.cols;
  return Result(LaunchEmbed(args, stream_), "Embed");
}

absl::Status CudaBackend::RmsNorm(const RmsNormArgs& args) {
  CheckAlike(args.out, args.x);
  if (args.delta.rank != 0) CheckAlike(args.delta, args.x);
  return Result(LaunchRmsNorm(args, stream_), "RmsNorm");
}

absl::Status CudaBackend::Linear(const LinearArgs& args) {
  CheckRows(args.out, args.x.dim(0));
  WINNOW_CHECK(args.x.RowSize() == args.weight.cols && args.out.RowSize() == args.weight.rows)
      << args.x.RowSize() << " to " << args.out.RowSize() << " by [" << args.weight.rows << ", "
      << args.weight.cols << "]";
  if (!lost_.ok()) return lost_;
  WINNOW_RETURN_IF_ERROR(Result(matmul_->Run(args)));
  if (args.weight.bias == nullptr) return absl::OkStatus();
  return Result(LaunchAddBias(args.out, args.weight.bias, stream_), "Linear's bias");
}

absl::Status CudaBackend::LinearGroup(const LinearGroupArgs& args) {
  WINNOW_CHECK(args.weights.size() == args.outs.size());
  for (size_t begin = 0, end = 0; begin < args.weights.size(); begin = end) {
    WINNOW_RETURN_IF_ERROR(Linear(Joined(args, begin, &end)));
    for (size_t i = begin; i < end; ++i) {
      if (args.weights[i].bias == nullptr) continue;
      WINNOW_RETURN_IF_ERROR(
          Result(LaunchAddBias(args.outs[i], args.weights[i].bias, stream_), "LinearGroup's bias"));
    }
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::RopeTable(const RopeTableArgs& args) {
  WINNOW_CHECK(args.cos_sin.rank == 3 && args.cos_sin.dim(1) == 2);
  return Result(LaunchRopeTable(args, stream_), "RopeTable");
}

absl::Status CudaBackend::Rope(const RopeArgs& args) {
  CheckRows(args.cos_sin, args.x.dim(0));
  WINNOW_CHECK(args.x.rank == 3 && args.cos_sin.dim(2) * 2 == args.x.dim(2))
      << args.cos_sin.dim(2) << " angles for " << args.x.dim(2);
  return Result(LaunchRope(args, stream_), "Rope");
}

absl::Status CudaBackend::SwiGlu(const SwiGluArgs& args) {
  CheckAlike(args.gate, args.out);
  CheckAlike(args.up, args.out);
  return Result(LaunchSwiGlu(args, stream_), "SwiGlu");
}

absl::Status CudaBackend::Silu(const SiluArgs& args) {
  return Result(LaunchSilu(args, stream_), "Silu");
}

absl::Status CudaBackend::GatedRmsNorm(const GatedRmsNormArgs& args) {
  if (args.gate.rank != 0) CheckAlike(args.gate, args.o);
  return Result(LaunchGatedRmsNorm(args, stream_), "GatedRmsNorm");
}

absl::Status CudaBackend::GatherRows(const GatherRowsArgs& args) {
  WINNOW_CHECK(args.x.RowSize() == args.out.RowSize())
      << args.x.RowSize() << " vs " << args.out.RowSize();
  return Result(LaunchGatherRows(args, stream_), "GatherRows");
}

absl::Status CudaBackend::ShortConv(const ShortConvArgs& args) {
  return ShortConvGroup({.parts = {args}});
}

absl::Status CudaBackend::ShortConvGroup(const ShortConvGroupArgs& args) {
  for (const ShortConvArgs& part : args.parts) {
    CheckRows(part.x, part.batch.num_tokens);
    CheckAlike(part.out, part.x);
  }
  return Result(LaunchShortConvs(args.parts, stream_), "ShortConv");
}

absl::Status CudaBackend::GatedDelta(const GatedDeltaArgs& args) {
  const int64_t rows = args.batch.num_tokens;
  CheckHeads(args.q, rows, args.k.dim(1), args.k.dim(2));
  CheckHeads(args.k, rows, args.k.dim(1), args.k.dim(2));
  CheckHeads(args.v, rows, args.v.dim(1), args.v.dim(2));
  CheckHeads(args.out, rows, args.v.dim(1), args.v.dim(2));
  WINNOW_CHECK(args.v.dim(1) % args.k.dim(1) == 0)
      << args.v.dim(1) << " value heads on " << args.k.dim(1);
  WINNOW_CHECK(args.a.dim(1) == args.v.dim(1) && args.b.dim(1) == args.v.dim(1));
  return Result(LaunchGatedDelta(args, scratch_.data(), stream_), "GatedDelta");
}

absl::Status CudaBackend::CheckDeltaState(const DeltaStateFormat& format) const {
  if (format.dtype != DType::kF32 && format.dtype != DType::kBF16) {
    return absl::InvalidArgumentError(absl::StrCat("a recurrent state in ", DTypeName(format.dtype),
                                                   ": the cuda backend keeps F32 or BF16"));
  }
  if (format.ring_length == 0) return absl::OkStatus();
  if (format.dtype != DType::kF32) {
    return absl::InvalidArgumentError(absl::StrCat("a state ring of ", format.ring_length,
                                                   " beside a state in ", DTypeName(format.dtype),
                                                   ": it needs one in F32"));
  }
  // Rows of a value must be whole accesses of 16 bytes, in activations too.
  const bool aligned = format.value_dim * DTypeBytes(compute_) % 16 == 0;
  if (TakesDeltaRing(format.key_dim, format.value_dim) && aligned) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a state ring of ", format.ring_length, " for heads of ", format.key_dim, " x ",
                   format.value_dim,
                   ": the cuda backend needs keys of 64, 128, 192 or 256, values of a "
                   "multiple of ",
                   16 / DTypeBytes(compute_)));
}

absl::Status CudaBackend::AdvanceRing(const AdvanceRingArgs& args) {
  return Result(LaunchAdvanceRing(args, stream_), "AdvanceRing");
}

absl::Status CudaBackend::RouterScores(const RouterScoresArgs& args) {
  if (ScoresPosition(args.weights->method)) {
    return absl::UnimplementedError("retention by position needs the cpu backend");
  }
  const int64_t heads = args.k.dim(1);
  CheckHeads(args.k, args.batch.num_tokens, heads, args.k.dim(2));
  CheckHeads(args.v, args.batch.num_tokens, heads, args.v.dim(2));
  WINNOW_CHECK(args.weights->groups == 1 || args.weights->groups == heads)
      << args.weights->groups << " groups, " << heads << " heads";
  WINNOW_CHECK(args.history.size() == args.weights->convs.size());
  int64_t in = args.k.dim(2) + args.v.dim(2), outputs = 0;
  for (const RouterConv& conv : args.weights->convs) {
    WINNOW_CHECK(conv.in == in) << conv.in << " inputs, expected " << in;
    outputs += in = conv.out;
  }
  if (IsRouterStep(args)) return Result(LaunchRouterStep(args, stream_), "RouterScores");
  const int64_t needed = RouterScratchBytes(args.batch.num_tokens, heads * outputs);
  WINNOW_CHECK(needed <= scratch_.size_bytes()) << needed << " of " << scratch_.size_bytes();
  return Result(LaunchRouterScores(args, scratch_.data(), stream_), "RouterScores");
}

absl::Status CudaBackend::Departures(const DeparturesArgs& args) {
  WINNOW_CHECK(args.margin >= 0 && args.span > args.margin)
      << "span " << args.span << ", margin " << args.margin;
  WINNOW_CHECK(args.scores.rank == 2 && args.scores.dim(1) == args.num_kv_heads)
      << args.scores.dim(1) << " vs " << args.num_kv_heads;
  return Result(LaunchDepartures(args, stream_), "Departures");
}

absl::Status CudaBackend::Attention(const AttentionArgs& args) {
  const LayerPages& pages = args.pages;
  const int64_t rows = args.batch.num_tokens;
  CheckHeads(args.k, rows, pages.num_kv_heads, pages.head_dim);
  CheckHeads(args.v, rows, pages.num_kv_heads, pages.head_dim);
  CheckHeads(args.q, rows, args.q.dim(1), pages.head_dim);
  CheckHeads(args.out, rows, args.q.dim(1), pages.head_dim);
  WINNOW_CHECK(args.q.dim(1) % pages.num_kv_heads == 0)
      << args.q.dim(1) << " query heads, " << pages.num_kv_heads << " kv heads";
  WINNOW_CHECK(args.span > 0 && pages.ring_tokens > 0 && pages.page_tokens > 0);
  if (args.plan != nullptr) {
    WINNOW_CHECK(args.span <= pages.ring_tokens) << args.span << " vs " << pages.ring_tokens;
  }
  const AttentionScratch scratch = {attention_scratch_.data(), attention_scratch_.size_bytes()};
  return Result(LaunchAttention(args, scratch, stream_), "Attention");
}

absl::Status CudaBackend::WriteKv(const WriteKvArgs& args) {
  CheckHeads(args.k, args.batch.num_tokens, args.pages.num_kv_heads, args.pages.head_dim);
  CheckHeads(args.v, args.batch.num_tokens, args.pages.num_kv_heads, args.pages.head_dim);
  return Result(LaunchWriteKv(args, stream_), "WriteKv");
}

absl::Status CudaBackend::Sample(const SampleArgs& args) {
  const int64_t num_rows = args.logits.dim(0), vocab = args.logits.dim(1);
  WINNOW_CHECK(num_rows <= limits_.max_logits_rows && vocab <= limits_.vocab_size)
      << num_rows << " rows of " << vocab;
  const size_t max_edits = sample_edits_.size_bytes() / sizeof(TokenEdit);
  std::vector<SampleRow> rows;
  std::vector<TokenEdit> edits, own;
  int64_t begin = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    WINNOW_CHECK(args.rows[i].slot == 0 || (args.rows[i].slot > 0 && args.drawn != nullptr))
        << "slot " << args.rows[i].slot;
    own.clear();
    SampleRow row = PackRow(args.rows[i], vocab, &own);
    if (edits.size() + own.size() > max_edits) {
      WINNOW_RETURN_IF_ERROR(SampleRows(args, begin, rows, edits));
      rows.clear();
      edits.clear();
      begin = i;
    }
    row.first_edit = static_cast<int32_t>(edits.size());
    rows.push_back(row);
    edits.insert(edits.end(), own.begin(), own.end());
  }
  return SampleRows(args, begin, rows, edits);
}

absl::Status CudaBackend::SampleRows(const SampleArgs& args, int64_t begin,
                                     const std::vector<SampleRow>& rows,
                                     const std::vector<TokenEdit>& edits) {
  if (rows.empty()) return absl::OkStatus();
  const int64_t count = static_cast<int64_t>(rows.size());
  WINNOW_RETURN_IF_ERROR(Upload(sample_rows_.data(), rows.data(), count * sizeof(SampleRow)));
  if (!edits.empty()) {
    WINNOW_RETURN_IF_ERROR(
        Upload(sample_edits_.data(), edits.data(), edits.size() * sizeof(TokenEdit)));
  }
  TensorView logits = args.logits;
  logits.raw = logits.row<float>(begin);
  logits = logits.First(count);
  auto* outputs = reinterpret_cast<SampleOutput*>(sample_outputs_.data());
  WINNOW_RETURN_IF_ERROR(Result(
      LaunchSample(logits, reinterpret_cast<const SampleRow*>(sample_rows_.data()),
                   reinterpret_cast<const TokenEdit*>(sample_edits_.data()),
                   reinterpret_cast<float*>(saved_logits_.data()), args.drawn, outputs, stream_),
      "Sample"));
  RowResult* results = args.results + begin;
  const uint32_t vocab = static_cast<uint32_t>(args.logits.dim(1));
  return Result(staging_->Download(
      sample_outputs_.data(), count * sizeof(SampleOutput),
      [results, rows, vocab](const std::byte* bytes) {
        const auto* outputs = reinterpret_cast<const SampleOutput*>(bytes);
        for (size_t i = 0; i < rows.size(); ++i) {
          results[i] = Unpacked(rows[i], outputs[i]);
          if (results[i].fault) continue;
          for (uint32_t t = 0; t < std::min(rows[i].num_top, vocab); ++t) {
            results[i].top.push_back({outputs[i].top_tokens[t], outputs[i].top_logprobs[t]});
          }
        }
      }));
}

absl::Status CudaBackend::EditTables(const EditTablesArgs& args) {
  return Result(LaunchEditTables(args, stream_), "EditTables");
}

absl::Status CudaBackend::GatherCounts(const GatherCountsArgs& args) {
  return Result(LaunchGatherCounts(args, stream_), "GatherCounts");
}

}  // namespace winnow::cuda
