#include "client/load/random_requests.h"

#include <algorithm>
#include <random>
#include <utility>

namespace winnow::load {
namespace {

// Numbers in [0, bound) from one seed (splitmix64, Steele et al. 2014): a prompt of 512 tokens
// takes about a microsecond, which is what requests may wait for it.
class IdSequence {
 public:
  IdSequence(uint64_t seed, uint32_t bound) : state_(seed), bound_(bound) {}
  uint32_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    return static_cast<uint32_t>(((mixed >> 32) * bound_) >> 32);
  }

 private:
  uint64_t state_;
  const uint64_t bound_;
};

}  // namespace

RandomRequests::RandomRequests(const LoadOptions& options, std::vector<FileRequest> file,
                               uint32_t vocab_size, bool has_tokenizer)
    : options_(options),
      file_(std::move(file)),
      vocab_size_(vocab_size),
      skip_text_(options.skip_text || !has_tokenizer),
      lengths_(MakeRandom(options.seed, RandomStream::kLengths)),
      behaviours_(MakeRandom(options.seed, RandomStream::kBehaviours)),
      seeds_(MakeRandom(options.seed, RandomStream::kSeeds)) {}

void RandomRequests::FillPrompt(const FileRequest& line, v1::GenerateRequest* request) {
  // Drawn in any case, so that a file does not change what follows.
  const int drawn = options_.prompt_tokens.Draw(&lengths_);
  IdSequence ids(seeds_(), vocab_size_);
  if (line.prompt.has_value()) {
    request->set_text(*line.prompt);
    return;
  }
  auto* prompt = request->mutable_token_ids()->mutable_ids();
  if (!line.prompt_token_ids.empty()) {
    prompt->Assign(line.prompt_token_ids.begin(), line.prompt_token_ids.end());
    return;
  }
  prompt->Resize(line.prompt_tokens.value_or(drawn), 0);
  std::generate(prompt->begin(), prompt->end(), [&] { return ids.Next(); });
}

void RandomRequests::DrawBehaviour(int output_tokens, PlannedRequest* planned) {
  const double share = std::uniform_real_distribution<double>(0, 1)(behaviours_);
  const int last = std::max(1, output_tokens / 2);
  const int cancel_after = std::uniform_int_distribution<int>(1, last)(behaviours_);
  if (share < options_.cancel_share) {
    planned->behaviour = Behaviour::kCancel;
    planned->cancel_after_tokens = cancel_after;
  } else if (share < options_.cancel_share + options_.slow_share) {
    planned->behaviour = Behaviour::kReadSlowly;
  }
}

PlannedRequest RandomRequests::Next() {
  static const FileRequest kNothing;
  const FileRequest& line =
      file_.empty() ? kNothing : file_[static_cast<size_t>(num_drawn_) % file_.size()];
  PlannedRequest planned;
  planned.number = num_drawn_++;
  v1::GenerateRequest& request = planned.request;
  request.set_model(options_.model);
  FillPrompt(line, &request);
  const int drawn = options_.output_tokens.Draw(&lengths_);
  const int output_tokens = line.output_tokens.value_or(drawn);
  request.mutable_stop()->set_max_tokens(output_tokens);
  request.mutable_stop()->set_ignore_eos(!options_.stop_at_eos);
  request.mutable_sampling()->set_seed(seeds_());
  if (options_.temperature.has_value()) {
    request.mutable_sampling()->set_temperature(*options_.temperature);
  }
  request.mutable_output()->set_skip_text(skip_text_);
  DrawBehaviour(output_tokens, &planned);
  return planned;
}

}  // namespace winnow::load
