#include "model/state_spec.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/ops/gated_delta.h"

namespace winnow {
namespace {

constexpr int64_t kFieldAlignment = 64;
constexpr int64_t kSlotAlignment = 256;
constexpr int64_t kMaxPageTokens = 4096;

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t CeilDiv(int64_t n, int64_t d) { return (n + d - 1) / d; }

// FNV-1a: stable across builds and machines, unlike absl::Hash.
uint64_t Fnv1a(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

int64_t StateField::size_bytes() const {
  int64_t n = DTypeBytes(dtype);
  for (const int64_t d : shape) n *= d;
  return n;
}

// Fills a StateSpec layer by layer.
class StateSpecBuilder {
 public:
  StateSpecBuilder(const StateSpecOptions& options) : options_(options) {
    spec_.page_tokens_ = options.page_tokens;
    spec_.page_dtype_ = options.page_dtype;
  }

  absl::Status Add(int layer, const GatedDeltaConfig& c) {
    AddField(layer, "state", options_.state_dtype, {c.num_v_heads, c.head_dim, c.value_dim});
    if (options_.state_ring >= 2) AddRing(layer, c);
    if (!c.use_short_conv) return absl::OkStatus();
    AddField(layer, "q_conv", DType::kF32, {c.conv_size - 1, c.num_heads * c.head_dim});
    AddField(layer, "k_conv", DType::kF32, {c.conv_size - 1, c.num_heads * c.head_dim});
    AddField(layer, "v_conv", DType::kF32, {c.conv_size - 1, c.num_v_heads * c.value_dim});
    return absl::OkStatus();
  }

  absl::Status Add(int layer, const AttentionConfig& c) {
    const int64_t page_bytes =
        2 * options_.page_tokens * c.head_dim * DTypeBytes(options_.page_dtype);
    if (spec_.page_bytes_ != 0 && spec_.page_bytes_ != page_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer ", layer, " has head_dim ", c.head_dim,
                       ", other attention layers another: one page size must serve all layers"));
    }
    spec_.page_bytes_ = page_bytes;
    spec_.kv_bytes_per_token_ += c.num_kv_heads * page_bytes / options_.page_tokens;
    if (!c.window_size.has_value()) return AddGrowing(layer, c);
    AddLists(layer, c, PageListKind::kRing, c.span());
    if (c.eviction.has_value()) AddKeptSet(layer, c);
    return absl::OkStatus();
  }

  StateSpec Finish() {
    spec_.slot_bytes_ = std::max(RoundUp(spec_.slot_bytes_, kSlotAlignment), kSlotAlignment);
    if (spec_.grows_) spec_.max_sequence_tokens_ = options_.max_sequence_tokens;
    spec_.fingerprint_ = Fnv1a(Describe());
    return std::move(spec_);
  }

 private:
  void AddField(int layer, std::string name, DType dtype, std::vector<int64_t> shape) {
    spec_.fields_.push_back({layer, std::move(name), dtype, std::move(shape), spec_.slot_bytes_});
    spec_.slot_bytes_ =
        RoundUp(spec_.slot_bytes_ + spec_.fields_.back().size_bytes(), kFieldAlignment);
  }

  void AddRing(int layer, const GatedDeltaConfig& c) {
    const int64_t length = options_.state_ring;
    if (spec_.state_ring_ == 0) AddField(layer, "ring_count", DType::kI32, {1});
    spec_.state_ring_ = length;
    AddField(layer, "ring_values", DType::kF32, {c.num_v_heads, length, c.value_dim});
    AddField(layer, "ring_decays", DType::kF32, {c.num_v_heads, length});
    AddField(layer, "ring_keys", options_.page_dtype, {c.num_heads, length, c.head_dim});
  }

  void AddLists(int layer, const AttentionConfig& c, PageListKind kind, int64_t capacity) {
    for (int head = 0; head < c.num_kv_heads; ++head) {
      PageList list;
      list.layer = layer;
      list.kv_head = head;
      list.kind = kind;
      list.capacity = capacity;
      list.span = c.span();
      list.first_entry = spec_.table_entries_;
      list.max_pages = CeilDiv(capacity, options_.page_tokens);
      if (kind == PageListKind::kKept) list.kept_index = spec_.num_kept_lists_++;
      spec_.table_entries_ += list.max_pages;
      spec_.lists_.push_back(list);
    }
  }

  absl::Status AddGrowing(int layer, const AttentionConfig& c) {
    if (!options_.max_sequence_tokens.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer ", layer,
                       " keeps every token, so memory grows with length: a limit on the tokens of "
                       "a sequence is needed (max_sequence_tokens)"));
    }
    AddLists(layer, c, PageListKind::kGrowing, *options_.max_sequence_tokens);
    spec_.grows_ = true;
    return absl::OkStatus();
  }

  void AddKeptSet(int layer, const AttentionConfig& c) {
    const EvictionConfig& e = *c.eviction;
    int64_t channels = 2 * c.head_dim;
    for (size_t i = 0; i < e.conv_size.size(); ++i, channels /= 2) {
      AddField(layer, absl::StrCat("router_history_", i), DType::kF32,
               {e.conv_dilation[i] * (e.conv_size[i] - 1), c.num_kv_heads, channels});
    }
    AddField(layer, "score_ring", DType::kF32, {c.span(), c.num_kv_heads});
    AddField(layer, "kept_count", DType::kI32, {c.num_kv_heads});
    AddField(layer, "kept_score", DType::kF32, {c.num_kv_heads, e.buffer_size});
    AddField(layer, "kept_position", DType::kI64, {c.num_kv_heads, e.buffer_size});
    AddLists(layer, c, PageListKind::kKept, e.buffer_size);
  }

  std::string Describe() const {
    std::string text =
        absl::StrCat("winnow state 1;", spec_.slot_bytes_, ";", spec_.table_entries_, ";",
                     spec_.page_tokens_, ";", DTypeName(spec_.page_dtype_), ";");
    for (const StateField& f : spec_.fields_) {
      absl::StrAppend(&text, f.layer, f.name, ":", DTypeName(f.dtype), "@", f.offset);
      for (const int64_t d : f.shape) absl::StrAppend(&text, ",", d);
    }
    for (const PageList& l : spec_.lists_) {
      absl::StrAppend(&text, ";", l.layer, ",", l.kv_head, ",", static_cast<int>(l.kind), ",",
                      l.capacity, ",", l.first_entry);
    }
    return text;
  }

  const StateSpecOptions options_;
  StateSpec spec_;
};

namespace {

absl::Status CheckOptions(const StateSpecOptions& options) {
  if (options.page_tokens < 1 || options.page_tokens > kMaxPageTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_tokens is ", options.page_tokens, ", must be in 1..", kMaxPageTokens));
  }
  if (options.max_sequence_tokens.has_value() && *options.max_sequence_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_sequence_tokens is ", *options.max_sequence_tokens, ", must be at least 1"));
  }
  if (options.state_dtype != DType::kF32 && options.state_dtype != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("state_dtype is ", DTypeName(options.state_dtype), ", must be F32 or BF16"));
  }
  if (options.state_ring < 0 || options.state_ring > kMaxDeltaRing) {
    return absl::InvalidArgumentError(
        absl::StrCat("state_ring is ", options.state_ring, ", must be in 0..", kMaxDeltaRing));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StateSpec> StateSpec::Create(const ModelConfig& config,
                                            const StateSpecOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  StateSpecBuilder builder(options);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const absl::Status status =
        std::visit([&](const auto& mixer) { return builder.Add(static_cast<int>(i), mixer); },
                   config.layers[i].mixer);
    if (!status.ok()) return status;
  }
  return builder.Finish();
}

const StateField& StateSpec::field(int layer, std::string_view name) const {
  const auto it = std::find_if(fields_.begin(), fields_.end(), [&](const StateField& f) {
    return f.layer == layer && f.name == name;
  });
  WINNOW_CHECK(it != fields_.end()) << "layer " << layer << " has no field " << name;
  return *it;
}

int64_t StateSpec::PagesFor(const PageList& list, int64_t before, int64_t after,
                            int64_t kept) const {
  WINNOW_CHECK(0 <= before && before <= after) << before << " " << after;
  switch (list.kind) {
    case PageListKind::kGrowing:
      return CeilDiv(after, page_tokens_);
    case PageListKind::kRing:
      return CeilDiv(std::min(after, list.capacity), page_tokens_);
    case PageListKind::kKept: {
      const int64_t departures =
          std::max<int64_t>(0, after - list.span) - std::max<int64_t>(0, before - list.span);
      return CeilDiv(std::min(list.capacity, kept + departures), page_tokens_);
    }
  }
  WINNOW_CHECK(false) << "page list kind " << static_cast<int>(list.kind);
  return 0;
}

int64_t StateSpec::MaxPages(int64_t num_tokens) const {
  int64_t pages = 0;
  for (const PageList& list : lists_) pages += PagesFor(list, 0, num_tokens, 0);
  return pages;
}

int64_t StateSpec::FullPages(const PageList& list, int64_t num_tokens) const {
  return list.kind == PageListKind::kGrowing ? num_tokens / page_tokens_ : 0;
}

int64_t StateSpec::FullPages(int64_t num_tokens) const {
  int64_t pages = 0;
  for (const PageList& list : lists_) pages += FullPages(list, num_tokens);
  return pages;
}

std::optional<int64_t> StateSpec::MaxPages() const {
  if (grows_) return std::nullopt;
  int64_t pages = 0;
  for (const PageList& list : lists_) pages += list.max_pages;
  return pages;
}

}  // namespace winnow
