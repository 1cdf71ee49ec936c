#include "tests/golden/recordings.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "model/safetensors.h"

namespace winnow {
namespace {

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

}  // namespace

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

}  // namespace winnow
