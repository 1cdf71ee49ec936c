#include "kernels/cuda/tensor_map.h"

#include <cudaTypedefs.h>

#include "kernels/dtype.h"

namespace winnow::cuda {
namespace {

PFN_cuTensorMapEncodeTiled_v12000 EncodeFunction() {
  static const auto function = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                               12000, cudaEnableDefault, &result);
    if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) found = nullptr;
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(found);
  }();
  return function;
}

}  // namespace

cudaError_t MapMatrix(const BoxedMatrix& matrix, int box_rows, CUtensorMap* map) {
  const auto encode = EncodeFunction();
  if (encode == nullptr) return cudaErrorNotSupported;
  const cuuint64_t dims[] = {static_cast<cuuint64_t>(matrix.cols),
                             static_cast<cuuint64_t>(matrix.rows)};
  const cuuint64_t strides[] = {
      static_cast<cuuint64_t>(matrix.row_stride * DTypeBytes(DType::kBF16))};
  const cuuint32_t box[] = {kBoxColumns, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result =
      encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(matrix.data), dims,
             strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace winnow::cuda
