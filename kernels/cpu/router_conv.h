// ConvRows: what the router hands to its vector kernels (router_conv-inl.h). Private to router.cc.
#ifndef WINNOW_KERNELS_CPU_ROUTER_CONV_H_
#define WINNOW_KERNELS_CPU_ROUTER_CONV_H_

#include <cstdint>

namespace winnow::cpu {

// One convolution over some rows: row r reads its taps at x + r * x_stride + tap * tap_stride.
struct ConvRows {
  const float* x = nullptr;  // [in] at each tap
  int64_t x_stride = 0;
  int64_t tap_stride = 0;
  const float* weight = nullptr;  // [size, in, out]
  const float* bias = nullptr;    // [out]
  int64_t size = 0;
  int64_t in = 0;
  int64_t out = 0;
  float* y = nullptr;  // [out] at y + r * y_stride
  int64_t y_stride = 0;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_ROUTER_CONV_H_
