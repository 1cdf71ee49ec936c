#include "kernels/cpu/sample_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "kernels/cpu/sample.h"
#include "kernels/cpu/thread_pool.h"

namespace winnow::cpu {
namespace {

// Most likely first, of equal ones the lowest id.
std::vector<int64_t> Sorted(const std::vector<double>& logits) {
  std::vector<int64_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  return ids;
}

void Closer(double distance, double* margin) { *margin = std::min(*margin, std::abs(distance)); }

// How many of the tokens, most likely first, have min_p of the first one's probability.
size_t CountMinP(const std::vector<double>& mass, const std::vector<int64_t>& ids, double min_p,
                 double* margin) {
  if (min_p == 0) return ids.size();
  size_t count = 0;
  for (const int64_t id : ids) {
    const double ratio = mass[id] / mass[ids[0]];
    if (id != ids[0] && ratio < 1) Closer(ratio / min_p - 1, margin);
    count += ratio >= min_p;
  }
  return count;
}

size_t CountTopP(const std::vector<double>& mass, const std::vector<int64_t>& ids, double top_p,
                 double* margin) {
  if (top_p >= 1) return ids.size();
  double total = 0;
  for (const int64_t id : ids) total += mass[id];
  double sum = 0;
  size_t count = 0;
  while (count < ids.size() && (count == 0 || sum < total * top_p)) {
    sum += mass[ids[count++]];
    if (count < ids.size()) Closer(sum / total - top_p, margin);
  }
  return count;
}

}  // namespace

LogitsRow SampleCase::Row(int64_t position) const {
  LogitsRow row;
  row.sampling = sampling;
  row.context = {prompt, output, logit_bias, suppressed};
  row.position = position;
  return row;
}

std::vector<double> EditedLogits(const SampleCase& c) {
  std::vector<double> x(c.logits.begin(), c.logits.end());
  const std::set<uint32_t> suppressed(c.suppressed.begin(), c.suppressed.end());
  if (suppressed.size() < x.size()) {
    for (const uint32_t token : suppressed) x[token] = -std::numeric_limits<double>::infinity();
  }
  for (const TokenBias& entry : c.logit_bias) x[entry.token] += entry.bias;
  std::map<uint32_t, int> in_output;
  for (const uint32_t token : c.output) ++in_output[token];
  std::set<uint32_t> seen(c.prompt.begin(), c.prompt.end());
  seen.insert(c.output.begin(), c.output.end());
  const double repetition = c.sampling.repetition_penalty;
  for (const uint32_t token : seen) x[token] *= x[token] > 0 ? 1 / repetition : repetition;
  for (const auto& [token, count] : in_output) {
    x[token] -= double{c.sampling.frequency_penalty} * count;
    x[token] -= c.sampling.presence_penalty;
  }
  return x;
}

int64_t GreedyToken(const SampleCase& c, double* margin) {
  const std::vector<double> x = EditedLogits(c);
  const int64_t token = std::max_element(x.begin(), x.end()) - x.begin();
  for (const double other : x) {
    if (other < x[token]) Closer(x[token] - other, margin);
  }
  return token;
}

ExactDistribution Distribution(const SampleCase& c) {
  const std::vector<double> x = EditedLogits(c);
  std::vector<int64_t> ids = Sorted(x);
  ExactDistribution exact = {.mass = std::vector<double>(x.size())};
  std::vector<double> all(x.size());
  for (const int64_t id : ids) all[id] = std::exp((x[id] - x[ids[0]]) / c.sampling.temperature);
  ids.resize(CountMinP(all, ids, c.sampling.min_p, &exact.margin));
  if (c.sampling.top_k > 0 && c.sampling.top_k < ids.size()) {
    const double gap = x[ids[c.sampling.top_k - 1]] - x[ids[c.sampling.top_k]];
    if (gap > 0) Closer(gap, &exact.margin);
    ids.resize(c.sampling.top_k);
  }
  ids.resize(CountTopP(all, ids, c.sampling.top_p, &exact.margin));
  double kept = 0;
  for (const int64_t id : ids) kept += all[id];
  for (const int64_t id : ids) exact.mass[id] = all[id] / kept;
  return exact;
}

int64_t ExactDraw(const ExactDistribution& exact, double uniform, double* margin) {
  int64_t token = -1;
  double sum = 0;
  for (size_t id = 0; id < exact.mass.size(); ++id) {
    if (exact.mass[id] == 0) continue;
    if (sum <= uniform) token = static_cast<int64_t>(id);
    sum += exact.mass[id];
    Closer(sum - uniform, margin);
  }
  return token;
}

std::vector<RowResult> SampleAll(std::vector<float> logits, const std::vector<LogitsRow>& rows,
                                 int num_threads) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  ThreadPool pool(num_threads);
  SampleArgs args;
  args.logits =
      TensorView::Of(logits.data(), DType::kF32, {static_cast<int64_t>(rows.size()), vocab});
  args.logits.row_stride = 0;
  std::vector<RowResult> results(rows.size());
  args.rows = rows.data();
  args.results = results.data();
  Sample(pool, args);
  return results;
}

}  // namespace winnow::cpu
