#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/state_kernels.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
// Fields that one launch gathers: they travel in its parameters.
constexpr int kMaxFields = 64;

struct FieldList {
  SlotField fields[kMaxFields];
};

__global__ void EditTablesKernel(int32_t* tables, const TableEdit* edits, int64_t num_edits) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < num_edits) tables[edits[i].entry] = edits[i].page;
}

// Grid: fields, sequences.
__global__ void GatherCountsKernel(FieldList list, const int32_t* slots, int count, int32_t* out,
                                   int out_stride) {
  StartAfterPrevious();
  const int32_t* from = FieldAt<int32_t>(list.fields[blockIdx.x], slots[blockIdx.y]);
  int32_t* to = out + int64_t{blockIdx.y} * out_stride + blockIdx.x * count;
  for (int i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

}  // namespace

cudaError_t LaunchEditTables(const EditTablesArgs& args, cudaStream_t stream) {
  if (args.num_edits == 0) return cudaSuccess;
  EditTablesKernel<<<static_cast<unsigned>(CeilDiv(args.num_edits, kThreads)), kThreads, 0,
                     stream>>>(args.tables, args.edits, args.num_edits);
  return cudaGetLastError();
}

cudaError_t LaunchGatherCounts(const GatherCountsArgs& args, cudaStream_t stream) {
  const int num_fields = static_cast<int>(args.fields.size());
  const int count = static_cast<int>(args.count);
  if (args.batch.num_sequences == 0) return cudaSuccess;
  for (int begin = 0; begin < num_fields; begin += kMaxFields) {
    FieldList list;
    const int n = std::min(kMaxFields, num_fields - begin);
    std::copy_n(args.fields.begin() + begin, n, list.fields);
    const dim3 grid(static_cast<unsigned>(n), static_cast<unsigned>(args.batch.num_sequences));
    const cudaError_t error =
        LaunchEarly(GatherCountsKernel, grid, ThreadsFor(count, kThreads), 0, stream, list,
                    args.batch.slots, count, args.out + begin * count, num_fields * count);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace winnow::cuda
