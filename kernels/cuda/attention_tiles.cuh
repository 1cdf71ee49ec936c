// Attention of a tile of queries of one sequence and kv head on the tensor cores. Device code.
//
// A tile has 64 kMTiles rows: consecutive positions, each with all query heads of the kv head. Its
// block scans the list of keys, 256 at a time, and queues those that any row of the tile sees; the
// queue is taken kKeys at a time, whose keys and values are copied to shared memory while the last
// ones are computed with. So kept tokens that lie far apart fill blocks of keys too.
//
// Matrices in shared memory are rows of kDims bf16; 16-byte chunk c of row r stands at chunk
// c ^ (r % 8), so that the 8 rows of a small matrix lie in different banks.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_TILES_CUH_
#define WINNOW_KERNELS_CUDA_ATTENTION_TILES_CUH_

#include <cstdint>

#include "kernels/cuda/attention_keys.cuh"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/warp_matrix.cuh"

namespace winnow::cuda {

inline constexpr int kTilesWarps = 8;
inline constexpr int kTilesThreads = kTilesWarps * kWarpSize;

template <int kDims, int kMTiles, int kKeys>
struct TilesShape {
  static constexpr int kRows = 16 * kMTiles * kTilesWarps;
  static constexpr int kRowBytes = 2 * kDims;
  static constexpr int kKeysBytes = kKeys * kRowBytes;  // of keys, and as much of values
  static constexpr int kStages = 2;
  static constexpr int kQueueBytes = 512 * (2 * sizeof(void*) + 2 * sizeof(int32_t));
  static constexpr int kSharedBytes =
      kRows * kRowBytes + kStages * 2 * kKeysBytes + kQueueBytes + kTilesWarps * 4;
};

// The place of a 16-byte chunk, in bytes from the matrix' begin.
template <int kRowBytes>
__device__ uint32_t ChunkOffset(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

// When a row sees a key: start <= row < end.
struct alignas(8) KeySpan {
  int32_t start, end;
};

// The keys that a tile's rows see, found in order of the list. For all threads of the block.
template <int kKeys>
class KeyQueue {
 public:
  static constexpr int kPlaces = 512;

  // shared: [kPlaces] pairs of pointers, [kPlaces] spans, [kTilesWarps] counts.
  __device__ KeyQueue(const KeyList<BF16>& list, int first_row, int last_row, unsigned char* shared)
      : list_(list),
        first_row_(first_row),
        last_row_(last_row),
        pointers_(reinterpret_cast<const BF16**>(shared)),
        spans_(reinterpret_cast<KeySpan*>(pointers_ + 2 * kPlaces)),
        counts_(reinterpret_cast<int*>(spans_ + kPlaces)),
        next_(list.Find(threadIdx.x)) {}

  // Fills the next block of keys, with keys that nobody sees at the list's end. False: none left.
  __device__ bool Fill() {
    while (end_ - begin_ < kKeys && scanned_ < list_.size()) Scan();
    if (end_ == begin_) return false;
    for (int i = end_ - begin_ + threadIdx.x; i < kKeys; i += kTilesThreads) {
      Put(begin_ + i, KeyRef<BF16>());
    }
    __syncthreads();
    end_ = max(end_, begin_ + kKeys);
    block_ = begin_;
    begin_ += kKeys;
    return true;
  }
  // Of the block filled last.
  __device__ const BF16* key(int i) const { return pointers_[2 * ((block_ + i) % kPlaces)]; }
  __device__ const BF16* value(int i) const { return pointers_[2 * ((block_ + i) % kPlaces) + 1]; }
  __device__ const KeySpan* spans() const { return spans_ + block_ % kPlaces; }

 private:
  __device__ void Put(int place, const KeyRef<BF16>& ref) {
    place %= kPlaces;
    pointers_[2 * place] = ref.key;
    pointers_[2 * place + 1] = ref.value;
    spans_[place] = {ref.start, ref.end};
  }
  // A key per thread; the next ones are looked up ahead.
  __device__ void Scan() {
    const KeyRef<BF16> ref = list_.Resolve(next_);
    scanned_ += kTilesThreads;
    next_ = list_.Find(scanned_ + threadIdx.x);
    const bool seen = ref.key != nullptr && ref.start <= last_row_ && ref.end > first_row_;
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    const unsigned in_warp = __ballot_sync(kFullWarp, seen);
    if (lane == 0) counts_[warp] = __popc(in_warp);
    __syncthreads();
    int place = end_ + __popc(in_warp & ((1u << lane) - 1));
#pragma unroll
    for (int i = 0; i < kTilesWarps; ++i) {
      if (i < warp) place += counts_[i];
      end_ += counts_[i];
    }
    if (seen) Put(place, ref);
    __syncthreads();
  }

  const KeyList<BF16>& list_;
  const int first_row_, last_row_;
  const BF16** const pointers_;
  KeySpan* const spans_;
  int* const counts_;
  KeyLookup next_;
  int scanned_ = 0, begin_ = 0, end_ = 0, block_ = 0;
};

// softmax(Q K^T) V of the 16 kMTiles rows of a warp.
template <int kDims, int kMTiles, int kKeys>
class TilesWarp {
 public:
  using Shape = TilesShape<kDims, kMTiles, kKeys>;
  // Otherwise from shared memory every time.
  static constexpr bool kQueriesInRegisters = kDims <= 128;

  // rows_of_queries: the row of the sequence of each of the lane's rows, g and g + 8 of every 16.
  // `queries`: of the warp, in shared memory.
  __device__ TilesWarp(uint32_t queries, const int (&rows_of_queries)[kMTiles][2], float scale)
      : queries_at_(queries), scale_(scale), lane_(threadIdx.x % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kMTiles; ++m) {
      rows_[m][0] = rows_of_queries[m][0];
      rows_[m][1] = rows_of_queries[m][1];
      maxima_[m][0] = maxima_[m][1] = -INFINITY;
    }
    const int first = rows_[0][0], last = rows_[kMTiles - 1][1];
    first_ = __shfl_sync(kFullWarp, first, 0);
    last_ = __shfl_sync(kFullWarp, last, kWarpSize - 1);
    if constexpr (kQueriesInRegisters) {
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
        for (int k = 0; k < kDims / 16; ++k) LoadQueries(m, k, queries_[m][k]);
      }
    }
  }

  // Adds a block of keys and values in shared memory, [kKeys, kDims] each.
  __device__ void Add(uint32_t keys, const KeySpan* spans) {
    bool all = true, any = false;
#pragma unroll
    for (int i = lane_; i < kKeys; i += kWarpSize) {
      const KeySpan span = spans[i];
      all = all && span.start <= first_ && span.end > last_;
      any = any || (span.start <= last_ && span.end > first_);
    }
    if (!__any_sync(kFullWarp, any)) return;
    float scores[kMTiles][kKeys / 8][4] = {};
    Score(keys, scores);
    if (!__all_sync(kFullWarp, all)) Mask(spans, scores);
#pragma unroll
    for (int m = 0; m < kMTiles; ++m) {
      Weigh(m, scores[m], 0);
      Weigh(m, scores[m], 1);
    }
    AddValues(keys + Shape::kKeysBytes, scores);
  }

  // The sums of row 8 half + g of 16-row tile m become the result: elements 8 n + 2q and the next
  // are sums(m, n)[2 half] and the next times the factor returned.
  __device__ float Finish(int m, int half) const {
    float total = totals_[m][half];
    total += __shfl_xor_sync(kFullWarp, total, 1);
    total += __shfl_xor_sync(kFullWarp, total, 2);
    return 1 / total;
  }
  __device__ const float (&sums(int m, int n) const)[4] { return sums_[m][n]; }

 private:
  __device__ void LoadQueries(int m, int k, uint32_t (&to)[4]) const {
    const int row = 16 * m + lane_ % 16;
    LoadMatrices(queries_at_ + ChunkOffset<Shape::kRowBytes>(row, 2 * k + lane_ / 16), to);
  }

  __device__ void Score(uint32_t keys, float (&scores)[kMTiles][kKeys / 8][4]) {
    const int key = lane_ / 16 * 8 + lane_ % 8, chunk = lane_ / 8 % 2;
#pragma unroll
    for (int k = 0; k < kDims / 16; ++k) {
      uint32_t queries[kMTiles][4];
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        if constexpr (kQueriesInRegisters) {
#pragma unroll
          for (int i = 0; i < 4; ++i) queries[m][i] = queries_[m][k][i];
        } else {
          LoadQueries(m, k, queries[m]);
        }
      }
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t x[4];
        LoadMatrices(keys + ChunkOffset<Shape::kRowBytes>(16 * n + key, 2 * k + chunk), x);
        const uint32_t first[2] = {x[0], x[1]}, second[2] = {x[2], x[3]};
#pragma unroll
        for (int m = 0; m < kMTiles; ++m) {
          MultiplyBF16(scores[m][2 * n], queries[m], first);
          MultiplyBF16(scores[m][2 * n + 1], queries[m], second);
        }
      }
    }
  }

  __device__ void Mask(const KeySpan* spans, float (&scores)[kMTiles][kKeys / 8][4]) const {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const KeySpan span = spans[8 * n + lane_ % 4 * 2 + e];
#pragma unroll
        for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int row = rows_[m][half];
            if (row < span.start || row >= span.end) scores[m][n][2 * half + e] = -INFINITY;
          }
        }
      }
    }
  }

  // Scores of row g + 8 half become weights; sums and total follow the new maximum.
  __device__ void Weigh(int m, float (&scores)[kKeys / 8][4], int half) {
    float most = maxima_[m][half];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      most = fmaxf(most, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
    }
    most = fmaxf(most, __shfl_xor_sync(kFullWarp, most, 1));
    most = fmaxf(most, __shfl_xor_sync(kFullWarp, most, 2));
    const float base = most == -INFINITY ? 0 : most * scale_;
    const float keep = Exp2(fmaf(maxima_[m][half], scale_, -base));
    maxima_[m][half] = most;
    float total = totals_[m][half] * keep;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 2 * half; e < 2 * half + 2; ++e) {
        scores[n][e] = Exp2(fmaf(scores[n][e], scale_, -base));
        total += scores[n][e];
      }
    }
    totals_[m][half] = total;
    if (!__any_sync(kFullWarp, keep != 1)) return;
#pragma unroll
    for (int n = 0; n < kDims / 8; ++n) {
      sums_[m][n][2 * half] *= keep;
      sums_[m][n][2 * half + 1] *= keep;
    }
  }

  __device__ void AddValues(uint32_t values, const float (&weights)[kMTiles][kKeys / 8][4]) {
    const int key = lane_ % 16, chunk = lane_ / 16;
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      uint32_t high[kMTiles][4], low[kMTiles][4];
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&w)[4] = weights[m][2 * k + i / 2];
          const BF16Parts parts = PartsOf(w[i % 2 * 2], w[i % 2 * 2 + 1]);
          high[m][i] = parts.high;
          low[m][i] = parts.low;
        }
      }
#pragma unroll
      for (int n = 0; n < kDims / 16; ++n) {
        uint32_t x[4];
        LoadMatricesTransposed(values + ChunkOffset<Shape::kRowBytes>(16 * k + key, 2 * n + chunk),
                               x);
        const uint32_t first[2] = {x[0], x[1]}, second[2] = {x[2], x[3]};
#pragma unroll
        for (int m = 0; m < kMTiles; ++m) {
          MultiplyBF16(sums_[m][2 * n], high[m], first);
          MultiplyBF16(sums_[m][2 * n + 1], high[m], second);
          MultiplyBF16(sums_[m][2 * n], low[m], first);
          MultiplyBF16(sums_[m][2 * n + 1], low[m], second);
        }
      }
    }
  }

  const uint32_t queries_at_;
  const float scale_;
  const int lane_;
  int rows_[kMTiles][2], first_, last_;
  uint32_t queries_[kMTiles][kQueriesInRegisters ? kDims / 16 : 1][4];
  float sums_[kMTiles][kDims / 8][4] = {};
  float maxima_[kMTiles][2], totals_[kMTiles][2] = {};
};

// A tile's place: its rows of the sequence and of the step, its query heads.
struct TilePlace {
  int begin, num_rows;  // positions
  int64_t first_row;    // of the sequence, in the step
  int first_head;

  // Row `x` of the tile: position begin + x / group, head first_head + x % group.
  __device__ bool Has(int x, int group) const { return x < num_rows * group; }
  __device__ int64_t Offset(int x, int group, int64_t stride, int dims) const {
    return (first_row + begin + x / group) * stride + int64_t{first_head + x % group} * dims;
  }
};

// Rows of kDims elements into shared memory, by all threads. from(row): null for zeros.
template <int kDims, typename From>
__device__ void CopyRows(uint32_t to, int count, int dims, const void* valid, const From& from) {
  constexpr int kChunks = kDims / 8;
  for (int i = threadIdx.x; i < count * kChunks; i += kTilesThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const BF16* const x = chunk * 8 < dims ? from(row) : nullptr;
    CopyAsync(to + ChunkOffset<2 * kDims>(row, chunk), x == nullptr ? x : x + chunk * 8, valid);
  }
}

// Grid: tiles of the longest sequence, last ones first; kv heads; sequences.
template <int kDims, int kMTiles, int kKeys>
__global__ void __launch_bounds__(kTilesThreads, kDims <= 64 ? 2 : 1)
    AttentionTilesKernel(const __grid_constant__ AttentionParams p, int least_rows) {
  using Shape = TilesShape<kDims, kMTiles, kKeys>;
  extern __shared__ __align__(128) unsigned char shared[];  // queries, stages, the queue's

  const int sequence = blockIdx.z, kv_head = blockIdx.y, tile = gridDim.x - 1 - blockIdx.x;
  const int first_row = p.batch.row_offsets[sequence];
  const int num_rows = p.batch.row_offsets[sequence + 1] - first_row;
  const int positions = Shape::kRows / p.group;
  if (num_rows < least_rows || tile * positions >= num_rows) return;
  const TilePlace place = {tile * positions, min(positions, num_rows - tile * positions), first_row,
                           kv_head * p.group};
  const int dims = static_cast<int>(p.pages.head_dim), last = place.begin + place.num_rows - 1;

  const uint32_t queries = AddressInShared(shared), stages = queries + Shape::kRows * 2 * kDims;
  const KeyList<BF16> list(p, sequence, kv_head, first_row, place.begin, last + 1);
  KeyQueue<kKeys> queue(list, place.begin, last,
                        shared + Shape::kRows * 2 * kDims + Shape::kStages * 2 * Shape::kKeysBytes);
  const auto copy_keys = [&](int stage) {
    const uint32_t to = stages + stage * 2 * Shape::kKeysBytes;
    CopyRows<kDims>(to, kKeys, dims, p.q, [&](int i) { return queue.key(i); });
    CopyRows<kDims>(to + Shape::kKeysBytes, kKeys, dims, p.q,
                    [&](int i) { return queue.value(i); });
    CommitCopies();
  };
  const BF16* const q = static_cast<const BF16*>(p.q);
  CopyRows<kDims>(queries, Shape::kRows, dims, p.q, [&](int x) {
    return place.Has(x, p.group) ? q + place.Offset(x, p.group, p.q_stride, dims) : nullptr;
  });
  CommitCopies();
  queue.Fill();
  copy_keys(0);
  CopiesDone<1>();
  __syncthreads();

  const int warp = threadIdx.x / kWarpSize, row_of_lane = threadIdx.x % kWarpSize / 4;
  int rows[kMTiles][2];
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    const int x = 16 * kMTiles * warp + 8 * i + row_of_lane;
    rows[i / 2][i % 2] = place.begin + min(x / p.group, place.num_rows - 1);
  }
  TilesWarp<kDims, kMTiles, kKeys> work(queries + 16 * kMTiles * warp * 2 * kDims, rows, p.scale);
  for (int stage = 0, more = 1; more; stage ^= 1) {
    const KeySpan* const spans = queue.spans();
    more = queue.Fill();
    if (more) copy_keys(stage ^ 1);
    if (more) {
      CopiesDone<1>();
    } else {
      CopiesDone<0>();
    }
    __syncthreads();
    work.Add(stages + stage * 2 * Shape::kKeysBytes, spans);
    __syncthreads();
  }

  BF16* const out = static_cast<BF16*>(p.out);
#pragma unroll
  for (int i = 0; i < 2 * kMTiles; ++i) {
    const int x = 16 * kMTiles * warp + 8 * i + row_of_lane;
    const float factor = work.Finish(i / 2, i % 2);
    if (!place.Has(x, p.group)) continue;
    BF16* const to = out + place.Offset(x, p.group, p.out_stride, dims) + threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDims / 8; ++n) {
      const float(&sums)[4] = work.sums(i / 2, n);
      if (8 * n < dims) {
        *reinterpret_cast<uint32_t*>(to + 8 * n) =
            PairOf(sums[i % 2 * 2] * factor, sums[i % 2 * 2 + 1] * factor);
      }
    }
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_TILES_CUH_
