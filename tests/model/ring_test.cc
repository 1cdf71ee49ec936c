// State rings on the CPU, with the plain ring form there: forks, new sequences, steps of single
// tokens, of pieces and of both.
#include <memory>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/testing/forwarding_backend.h"
#include "tests/model/ring_comparison.h"

namespace winnow {
namespace {

std::unique_ptr<Backend> Cpu() {
  auto backend = cpu::CpuBackend::Create({.num_threads = 2});
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

// Steps of single tokens come in few sizes, with padding, as for a backend that replays.
class PaddingBackend final : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  bool replays() const override { return true; }
};

class RingTest : public ::testing::TestWithParam<int> {};

TEST_P(RingTest, ChangesNothing) {
  const std::unique_ptr<Backend> cpu = Cpu();
  ExpectRingChangesNothing(
      {.backend = cpu.get(), .ring_backend = cpu.get(), .state_ring = GetParam(), .bound = 1e-4});
}

TEST_P(RingTest, ChangesNothingBesidePadding) {
  const std::unique_ptr<Backend> cpu = Cpu();
  PaddingBackend padding(cpu.get());
  ExpectRingChangesNothing(
      {.backend = cpu.get(), .ring_backend = &padding, .state_ring = GetParam(), .bound = 1e-4});
}

INSTANTIATE_TEST_SUITE_P(Lengths, RingTest, ::testing::Values(2, 3, 16, 32));

}  // namespace
}  // namespace winnow
