// The recorded logits of the published implementation on CUDA: in float32 to the CPU's bounds, in
// bf16 to 3e-2 relative (norm), however the prompt is cut.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "kernels/cuda/testing/backends.h"
#include "model/safetensors.h"
#include "tests/gpu/scored_model.h"

namespace winnow {
namespace {

struct Golden {
  std::vector<uint32_t> tokens;
  std::map<std::string, LogprobRows> recordings;
};

LogprobRows LogSoftmaxRows(const SafetensorsEntry& entry) {
  LogprobRows rows(entry.shape[0], std::vector<double>(entry.shape[1]));
  const auto* next = reinterpret_cast<const char*>(entry.data);
  for (auto& row : rows) {
    for (double& value : row) {
      float logit;
      std::memcpy(&logit, next, sizeof(logit));
      next += sizeof(logit);
      value = logit;
    }
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const double value : row) sum += std::exp(value - most);
    for (double& value : row) value -= most + std::log(sum);
  }
  return rows;
}

Golden LoadGolden(const std::string& kind) {
  const auto file =
      SafetensorsFile::Open(absl::StrCat("tests/golden/", kind, "/expected.safetensors"));
  WINNOW_CHECK(file.ok()) << file.status();
  Golden golden;
  for (const auto& [name, entry] : file->entries()) {
    if (name != "tokens") {
      golden.recordings[name] = LogSoftmaxRows(entry);
      continue;
    }
    for (int64_t i = 0; i < entry.shape[0]; ++i) {
      int64_t token;
      std::memcpy(&token, entry.data + i * sizeof(token), sizeof(token));
      golden.tokens.push_back(static_cast<uint32_t>(token));
    }
  }
  return golden;
}

struct Error {
  double worst = 0, mean = 0;  // of log-probabilities
  double relative = 0;         // norm, of logits less their mean over the vocabulary
};

Error ErrorOf(const LogprobRows& actual, const LogprobRows& expected) {
  Error error;
  double difference = 0, norm = 0;
  int64_t count = 0;
  for (size_t t = 0; t < expected.size(); ++t) {
    const double n = static_cast<double>(expected[t].size());
    const double actual_mean = std::accumulate(actual[t].begin(), actual[t].end(), 0.0) / n;
    const double expected_mean = std::accumulate(expected[t].begin(), expected[t].end(), 0.0) / n;
    for (size_t i = 0; i < expected[t].size(); ++i, ++count) {
      const double off = std::abs(actual[t][i] - expected[t][i]);
      error.worst = std::max(error.worst, off);
      error.mean += off;
      const double a = actual[t][i] - actual_mean, b = expected[t][i] - expected_mean;
      difference += (a - b) * (a - b);
      norm += b * b;
    }
  }
  error.mean /= static_cast<double>(count);
  error.relative = std::sqrt(difference / norm);
  return error;
}

class GoldenGpuTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Calls check(error) for every recording and cut.
  template <typename Check>
  void ForEachRecording(DType compute, const Check& check) const {
    const Golden golden = LoadGolden(GetParam());
    ASSERT_EQ(golden.tokens.size(), 150u);
    ScoredModel model(absl::StrCat("tests/golden/", GetParam()), &cuda::CudaFor(compute), 256);
    for (const int64_t piece : {1, 7, 64, 256}) {
      const LogprobRows rows = model.Score(golden.tokens, piece);
      for (const auto& [name, recording] : golden.recordings) {
        SCOPED_TRACE(absl::StrCat("recording ", name, ", pieces of ", piece));
        ASSERT_EQ(rows.size(), recording.size());
        const Error error = ErrorOf(rows, recording);
        std::printf("  %s %s, pieces of %d: worst %.2g, mean %.2g, relative %.2g\n",
                    DTypeName(compute), name.c_str(), static_cast<int>(piece), error.worst,
                    error.mean, error.relative);
        check(error);
      }
    }
  }
};

TEST_P(GoldenGpuTest, InFloat32ToTheCpusBounds) {
  ForEachRecording(DType::kF32, [](const Error& error) {
    EXPECT_LE(error.worst, 1e-3);
    EXPECT_LE(error.mean, 1e-4);
  });
}

TEST_P(GoldenGpuTest, InBf16ToThreePercent) {
  ForEachRecording(DType::kBF16, [](const Error& error) { EXPECT_LE(error.relative, 3e-2); });
}

INSTANTIATE_TEST_SUITE_P(Kinds, GoldenGpuTest, ::testing::Values("gdn", "swa", "attn", "lte"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace winnow
