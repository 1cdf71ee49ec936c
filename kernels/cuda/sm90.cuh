// Hopper's own instructions: barriers in shared memory that count bytes, the copy engine, products
// of a warpgroup's registers with matrices in shared memory. Device code for sm_90a.
//
// Matrices in shared memory are tiles of 128-byte rows in the 128-byte swizzle, as the copy engine
// writes them: 16-byte chunk c of row r stands at chunk c ^ (r % 8). Tiles begin at multiples of
// 1024 bytes. SwizzledOffset gives the place.
#ifndef WINNOW_KERNELS_CUDA_SM90_CUH_
#define WINNOW_KERNELS_CUDA_SM90_CUH_

#include <cuda.h>

#include <cstdint>

namespace winnow::cuda {

inline constexpr int kWarpgroupSize = 128;
inline constexpr uint32_t kTileRowBytes = 128;

// The place of a 16-byte chunk, in bytes from the tile's begin.
__device__ inline uint32_t SwizzledOffset(uint32_t row, uint32_t chunk) {
  return row * kTileRowBytes + ((chunk ^ (row & 7)) << 4);
}

__device__ inline uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier in shared memory. Phases alternate; Wait(parity) returns once the phase with that
// parity is complete, the first phase having parity 0.
class SharedBarrier {
 public:
  // One thread; then FenceBarrierInit and a barrier of the block.
  __device__ void Init(uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address()), "r"(arrivals));
  }
  __device__ void Arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address()) : "memory");
  }
  // Arrives, and lets the phase wait for so many bytes of copies too.
  __device__ void ArriveExpecting(uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()),
                 "r"(bytes)
                 : "memory");
  }
  __device__ void Wait(uint32_t parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra finished;\n"
        "bra again;\n"
        "finished:\n"
        "}\n" ::"r"(address()),
        "r"(parity)
        : "memory");
  }
  __device__ uint32_t address() const { return SharedAddress(&state_); }

 private:
  uint64_t state_;
};

__device__ inline void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// Between ordinary writes of shared memory and its use by the copy engine or the tensor cores.
__device__ inline void FenceAsyncProxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// A barrier of `threads` threads of the block; id 0 is __syncthreads'.
__device__ inline void NamedBarrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// A box of a matrix, from column x and row y on, into a tile.
__device__ inline void CopyBox(const CUtensorMap& map, int x, int y, uint32_t to,
                               const SharedBarrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier.address()), "r"(x), "r"(y)
      : "memory");
}
// Consecutive bytes, a multiple of 16.
__device__ inline void CopyBytes(const void* from, uint32_t bytes, uint32_t to,
                                 const SharedBarrier& barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(from), "r"(bytes), "r"(barrier.address())
      : "memory");
}
// Shared memory to global memory; the thread's CopiesRead returns once the source has been read.
__device__ inline void CopyBytesOut(uint32_t from, void* to, uint32_t bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from),
               "r"(bytes)
               : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
__device__ inline void CopiesRead() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

// Fetches a map, which the copies then find at once.
__device__ inline void PrefetchMap(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
// Brings consecutive bytes, a multiple of 16 from a multiple of 16 on, into the L2 cache.
__device__ inline void PrefetchBytes(const void* from, uint32_t bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

// A barrier of all threads of the cluster (of the block, where there is none); what they wrote
// before it to the shared memory of the cluster's blocks is seen after it.
__device__ inline void ClusterBarrier() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// One for reads alone, which have arrived: it does not wait for what was written.
__device__ inline void ClusterBarrierOfReads() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// Four floats at the place `address` of the shared memory of the cluster's block `rank`.
__device__ inline float4 LoadFromBlock(uint32_t address, int rank) {
  float4 x;
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [there];\n"
      "}\n"
      : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
      : "r"(address), "r"(rank)
      : "memory");
  return x;
}

// Four 8 x 8 matrices of 16-bit elements, transposed: lane l names row l % 8 of matrix l / 8 and
// receives elements (l / 4, 2 (l % 4)) and the next of the transposed ones.
__device__ inline void LoadTransposed(uint32_t from, uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}
__device__ inline void StoreTransposed(uint32_t to, const uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
               "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SM90_CUH_
