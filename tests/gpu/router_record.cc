#include "tests/gpu/router_record.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>
#include <variant>

#include "kernels/check.h"

namespace winnow {
namespace {

// Positions that a head ever keeps, by the definition in kernels/ops/attention.h.
std::set<int64_t> EverKept(const AttentionConfig& config, int64_t margin,
                           const std::vector<std::vector<float>>& rows, int64_t head) {
  struct Kept {
    float score;
    int64_t position;
  };
  std::vector<Kept> kept;
  std::set<int64_t> ever;
  const int64_t count = static_cast<int64_t>(rows.size());
  for (int64_t j = 0; j + config.span() < count; ++j) {
    const float score = j < config.eviction->sink_size ? std::numeric_limits<float>::infinity()
                                                       : rows[j + margin][head];
    if (!(score > 0) || config.eviction->buffer_size == 0) continue;
    if (static_cast<int64_t>(kept.size()) == config.eviction->buffer_size) {
      const auto lowest = std::min_element(
          kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.score < b.score; });
      if (!(score > lowest->score)) continue;
      kept.erase(lowest);  // of equal ones the first, which is the oldest
    }
    kept.push_back({score, j});
    ever.insert(j);
  }
  return ever;
}

}  // namespace

RouterRecord::RouterRecord(Backend* to, const ModelConfig& config, const RouterScoreRows* forced)
    : ForwardingBackend(to), forced_(forced) {
  for (const LayerConfig& layer : config.layers) {
    const auto* attention = std::get_if<AttentionConfig>(&layer.mixer);
    if (attention != nullptr && attention->eviction.has_value()) scores_.emplace_back();
  }
}

void RouterRecord::Clear() {
  for (auto& rows : scores_) rows.clear();
}

absl::Status RouterRecord::RouterScores(const RouterScoresArgs& args) {
  absl::Status status = ForwardingBackend::RouterScores(args);
  const int64_t rows = args.scores.dim(0), heads = args.scores.dim(1);
  WINNOW_CHECK(args.scores.IsContiguous());
  auto& record = scores_[layer_];
  std::vector<float> scores(rows * heads);
  auto* device = static_cast<std::byte*>(args.scores.raw);
  const int64_t bytes = rows * heads * static_cast<int64_t>(sizeof(float));
  if (forced_ != nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n((*forced_)[layer_][record.size() + r].begin(), heads, scores.begin() + r * heads);
    }
    status.Update(Upload(device, scores.data(), bytes));
  } else {
    status.Update(Download(scores.data(), device, bytes));
    status.Update(Synchronize());
  }
  for (int64_t r = 0; r < rows; ++r) {
    record.emplace_back(scores.begin() + r * heads, scores.begin() + (r + 1) * heads);
  }
  layer_ = (layer_ + 1) % scores_.size();
  return status;
}

std::vector<RetentionFlip> RetentionFlips(const AttentionConfig& config, int64_t margin,
                                          const RouterScoreRows& a, const RouterScoreRows& b) {
  std::vector<RetentionFlip> flips;
  for (size_t layer = 0; layer < a.size(); ++layer) {
    for (int64_t head = 0; head < config.num_kv_heads; ++head) {
      const std::set<int64_t> in_a = EverKept(config, margin, a[layer], head);
      const std::set<int64_t> in_b = EverKept(config, margin, b[layer], head);
      std::vector<int64_t> either;
      std::set_symmetric_difference(in_a.begin(), in_a.end(), in_b.begin(), in_b.end(),
                                    std::back_inserter(either));
      for (const int64_t j : either) {
        const float score = a[layer][j + margin][head];
        flips.push_back({.layer = layer,
                         .position = j,
                         .score = score,
                         .difference = std::abs(score - b[layer][j + margin][head])});
      }
    }
  }
  // Token p leaves the window, kept or not, when p + span is computed.
  for (RetentionFlip& flip : flips) {
    flip.follows = std::any_of(flips.begin(), flips.end(), [&](const RetentionFlip& below) {
      return below.layer < flip.layer && below.position + config.span() <= flip.position + margin;
    });
  }
  return flips;
}

}  // namespace winnow
