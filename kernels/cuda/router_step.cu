#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/router_step.cuh"
#include "kernels/cuda/router_step.h"

namespace winnow::cuda {
namespace {

// Blocks fill a multiprocessor's shared memory; an H100 or H200 has this many.
constexpr int64_t kMaxBlocks = 132;
// Of a block, beside some fixed bytes.
constexpr int64_t kMaxSharedBytes = 226 << 10;
// Sequences that a team takes at a time: few where all can have a block of their own.
constexpr int kFewRows = 1, kManyRows = 4;

// Grid: teams' shares of the sequences, heads. Block: teams.
template <int kRows, typename T>
__global__ void __launch_bounds__(kMaxRouterTeams* kRouterTeam, 1)
    RouterStepKernel(const __grid_constant__ RouterStepParams p) {
  extern __shared__ float4 dynamic[];
  __shared__ SharedBarrier filled[kMaxRouterConvs];
  __shared__ int64_t positions[kMaxRouterTeams][2 * kRows];
  float* shared = reinterpret_cast<float*>(dynamic);
  LetNextStart();
  if (threadIdx.x == 0) FillFilters(p, shared, filled);
  __syncthreads();
  const RouterTeam<kRows, T> team(p, shared, filled, positions[threadIdx.x / kRouterTeam]);
  WaitForPrevious();
  team.Run();
}

struct Geometry {
  int rows = 0, teams = 0, blocks = 0;  // blocks of a head
  int buffers = 0;
};

// Whether 16-byte copies of a shape's arrays are possible, and its sizes not beyond all bounds.
bool IsRegular(const RouterConv& conv) {
  return conv.in % 4 == 0 && conv.out % 4 == 0 && conv.out <= 4 * kRouterTeam &&
         conv.size * conv.in * conv.out <= kMaxSharedBytes &&
         conv.history() * conv.in <= kMaxSharedBytes;
}

RouterStepConv ConvOf(const RouterConv& conv, int64_t delay) {
  const int64_t splits = std::min(kRouterTeam / (conv.out / 4), conv.size * conv.in / 4);
  return {.in = static_cast<int>(conv.in),
          .out = static_cast<int>(conv.out),
          .size = static_cast<int>(conv.size),
          .dilation = static_cast<int>(conv.dilation),
          .splits = static_cast<int>(splits),
          .delay = delay,
          .weight = conv.weight,
          .bias = conv.bias};
}

// The weights, and the places of everything in shared memory.
RouterStepParams Placed(const RouterWeights& weights, const Geometry& geometry) {
  RouterStepParams p = {.num_groups = static_cast<int>(weights.groups),
                        .num_convs = static_cast<int>(weights.convs.size()),
                        .proj_weight = weights.proj_weight,
                        .proj_bias = weights.proj_bias,
                        .sigmoid = weights.method == RoutingMethod::kSigmoid,
                        .buffers = geometry.buffers};
  int64_t delay = 0;
  int partials = 0;
  for (int i = 0; i < p.num_convs; ++i) {
    RouterStepConv& conv = p.convs[i];
    conv = ConvOf(weights.convs[i], delay += weights.convs[i].right());
    conv.weight_at = p.filter_floats;
    conv.bias_at = conv.weight_at + conv.weight_floats();
    p.filter_floats = conv.bias_at + conv.out;
    conv.history_at = p.history_floats;
    p.history_floats += conv.history_floats();
    conv.input_at = p.own_floats;
    conv.output_at = p.own_floats += conv.in;
    partials = std::max(partials, conv.splits * conv.out);
  }
  p.proj_at = p.filter_floats;
  p.filter_floats += p.convs[p.num_convs - 1].out;
  p.own_floats += p.convs[p.num_convs - 1].out;
  p.team_floats = geometry.rows * (geometry.buffers * p.history_floats + p.own_floats + partials);
  return p;
}

int64_t SharedBytes(const RouterStepParams& p, int teams) {
  return (p.filter_floats + int64_t{teams} * p.team_floats) * static_cast<int64_t>(sizeof(float));
}

// Whether so many teams of a block have room where each takes sequences again and again.
bool HaveRoom(const RouterWeights& weights, int teams) {
  const Geometry geometry = {.rows = kManyRows, .teams = teams, .buffers = 2};
  return SharedBytes(Placed(weights, geometry), teams) <= kMaxSharedBytes;
}

// A block for every sequence, if there are so many multiprocessors; else one for every kManyRows;
// else all the blocks that there is room for, of two teams, which wait for memory in turns.
Geometry GeometryOf(const RouterScoresArgs& args) {
  const int64_t most = std::max<int64_t>(1, kMaxBlocks / args.k.dim(1));
  const int64_t sequences = args.batch.num_sequences;
  Geometry geometry = {.rows = sequences <= most ? kFewRows : kManyRows, .teams = 1, .buffers = 1};
  const int64_t shares = CeilDiv(sequences, geometry.rows);
  if (shares > most && HaveRoom(*args.weights, kMaxRouterTeams)) geometry.teams = kMaxRouterTeams;
  geometry.blocks = static_cast<int>(std::min(most, CeilDiv(shares, geometry.teams)));
  if (shares > int64_t{geometry.blocks} * geometry.teams) geometry.buffers = 2;
  return geometry;
}

RouterStepParams ParamsOf(const RouterScoresArgs& args, const Geometry& geometry) {
  RouterStepParams p = Placed(*args.weights, geometry);
  for (int i = 0; i < p.num_convs; ++i) p.convs[i].history = args.history[i];
  p.batch = args.batch;
  p.k = args.k.raw;
  p.v = args.v.raw;
  p.k_stride = args.k.row_stride;
  p.v_stride = args.v.row_stride;
  p.k_dim = static_cast<int>(args.k.dim(2));
  p.num_heads = static_cast<int>(args.k.dim(1));
  p.scores = args.scores.data<float>();
  p.scores_stride = args.scores.row_stride;
  return p;
}

template <int kRows, typename T>
cudaError_t Launch(const RouterScoresArgs& args, const Geometry& geometry, cudaStream_t stream) {
  const RouterStepParams p = ParamsOf(args, geometry);
  const auto kernel = RouterStepKernel<kRows, T>;
  if (const cudaError_t error = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxSharedBytes);
      error != cudaSuccess) {
    return error;
  }
  const dim3 grid(geometry.blocks, p.num_heads);
  return LaunchEarly(kernel, grid, geometry.teams * kRouterTeam, SharedBytes(p, geometry.teams),
                     stream, p);
}

bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

bool AreAligned(const RouterScoresArgs& args) {
  const auto& convs = args.weights->convs;
  return IsAligned(args.weights->proj_weight) &&
         std::all_of(convs.begin(), convs.end(),
                     [](const RouterConv& conv) {
                       return IsAligned(conv.weight) && IsAligned(conv.bias);
                     }) &&
         std::all_of(args.history.begin(), args.history.end(), [](const SlotField& field) {
           return IsAligned(field.base) && field.slot_stride_bytes % 16 == 0;
         });
}

}  // namespace

bool IsRouterStep(const RouterScoresArgs& args) {
  const auto& convs = args.weights->convs;
  return args.batch.max_tokens_per_sequence == 1 &&
         args.batch.num_tokens == args.batch.num_sequences && !convs.empty() &&
         convs.size() <= kMaxRouterConvs && std::all_of(convs.begin(), convs.end(), IsRegular) &&
         AreAligned(args) && HaveRoom(*args.weights, 1);
}

cudaError_t LaunchRouterStep(const RouterScoresArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  if (args.k.dtype != args.v.dtype) return cudaErrorInvalidValue;
  const Geometry geometry = GeometryOf(args);
  return ForActivation(args.k.dtype, [&](auto element) {
    using T = decltype(element);
    return geometry.rows == kFewRows ? Launch<kFewRows, T>(args, geometry, stream)
                                     : Launch<kManyRows, T>(args, geometry, stream);
  });
}

}  // namespace winnow::cuda
