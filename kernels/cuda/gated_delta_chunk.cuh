// What the two kernels of the chunked gated delta rule share: which chunks a sequence has, where
// their records stand, what a record holds. Device code for sm_90a.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_CHUNK_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_CHUNK_CUH_

#include <cuda.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/sm90.cuh"

namespace winnow::cuda {

inline constexpr int kDeltaChunk = 64;

// What is known of a chunk and value head without S; what the first kernel leaves for the second.
// Rows beyond the chunk's have beta = 0 and decay no more, so they change nothing.
struct alignas(1024) DeltaRecord {
  // Tiles of [chunk, chunk] bf16 in the 128-byte swizzle.
  std::byte solve[kDeltaChunk * kTileRowBytes];  // T diag(beta): D = solve (V - e^G K S)
  std::byte mix[kDeltaChunk * kTileRowBytes];    // M
  float k_decay[kDeltaChunk];                    // e^{G_i} / |k_i|
  float q_decay[kDeltaChunk];                    // e^{G_i} Dk^-1/2 / |q_i|
  float late_decay[kDeltaChunk];                 // e^{G_last - G_i} / |k_i|
  float decay;                                   // e^{G_last}
};
static_assert(sizeof(DeltaRecord) == 17 * 1024);
// Of it, what is used.
inline constexpr uint32_t kDeltaRecordBytes = offsetof(DeltaRecord, decay) + 16;

// One chunk of a sequence.
struct DeltaChunk {
  int first_row;  // of the step
  int num_rows;   // 1 .. kDeltaChunk
};

// The chunks of one sequence: they end at multiples of kDeltaChunk of the absolute position.
class DeltaSequence {
 public:
  __device__ DeltaSequence(const DeltaParams& p, int sequence)
      : first_row_(p.row_offsets[sequence]),
        num_rows_(p.row_offsets[sequence + 1] - first_row_),
        first_record_(first_row_ / kDeltaChunk + 2 * sequence) {
    if (num_rows_ < p.least_rows || num_rows_ > p.most_rows) num_rows_ = 0;
    const int past = num_rows_ > 0 ? static_cast<int>(p.positions[first_row_] % kDeltaChunk) : 0;
    head_rows_ = min(num_rows_, kDeltaChunk - past);
  }
  __device__ int num_chunks() const {
    return num_rows_ == 0 ? 0 : 1 + (num_rows_ - head_rows_ + kDeltaChunk - 1) / kDeltaChunk;
  }
  __device__ DeltaChunk chunk(int i) const {
    if (i == 0) return {first_row_, head_rows_};
    const int begin = head_rows_ + (i - 1) * kDeltaChunk;
    return {first_row_ + begin, min(kDeltaChunk, num_rows_ - begin)};
  }
  // Records of all sequences lie in this order, with gaps: a sequence of n rows has at most
  // n / 64 + 2 chunks.
  __device__ int first_record() const { return first_record_; }

 private:
  int first_row_;
  int num_rows_;
  int first_record_;
  int head_rows_;
};

// Records that the chunks of so many tokens and sequences stand among.
constexpr int64_t NumDeltaRecords(int64_t num_tokens, int64_t num_sequences) {
  return num_tokens / kDeltaChunk + 2 * num_sequences;
}

// The rows' matrices as the copy engine reads them, in boxes of 64 rows and 64 columns.
struct DeltaMaps {
  CUtensorMap q;
  CUtensorMap k;
  CUtensorMap v;
};

// A chunk's k and q in shared memory: for every 64 columns a tile of 128 rows, k's, then q's.
inline constexpr uint32_t kKeyTileBytes = 2 * kDeltaChunk * kTileRowBytes;

// Rows of a tile, set to zero from `begin` to kDeltaChunk, by `num_threads` threads.
__device__ inline void ClearTileRows(uint32_t tile, int begin, int thread, int num_threads) {
  for (int i = begin * 8 + thread; i < kDeltaChunk * 8; i += num_threads) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(tile + i * 16), "r"(0)
                 : "memory");
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_CHUNK_CUH_
