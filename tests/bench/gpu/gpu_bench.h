// The benchmarks of one program, gpu-bench: each takes its own flags, prints lines and returns the
// exit code. One program, since each would carry all kernels.
#ifndef WINNOW_TESTS_BENCH_GPU_GPU_BENCH_H_
#define WINNOW_TESTS_BENCH_GPU_GPU_BENCH_H_

namespace winnow::bench {

int MeasureModel(int argc, char** argv);
int MeasureOps(int argc, char** argv);
int MeasureStateDtype(int argc, char** argv);

}  // namespace winnow::bench

#endif  // WINNOW_TESTS_BENCH_GPU_GPU_BENCH_H_
