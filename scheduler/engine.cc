#include "scheduler/engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace winnow {

Engine::Engine(Model* model, EngineOptions options)
    : model_(model),
      options_(std::move(options)),
      scheduler_(model->state_spec(), options_.scheduler),
      progress_{.load = scheduler_.load(), .totals = {}, .draining = 0},
      published_(progress_),
      loop_([this] { Loop(); }) {}

Engine::~Engine() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
  }
  wake_.notify_one();
  loop_.join();
}

// ---- Any thread ----

absl::Status Engine::Submit(std::shared_ptr<Request> request) {
  const absl::Status fits =
      CheckFits(request->num_prompt(), request->spec().max_tokens, request->spec().num_choices);
  if (!fits.ok()) return fits;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    if (ended_) return absl::UnavailableError("the engine has ended");
    if (drain_deadline_.has_value()) return absl::UnavailableError("the server is shutting down");
    const absl::Status room = CheckQueueRoom(
        options_.scheduler, progress_.load.waiting + static_cast<int64_t>(inbox_.size()),
        progress_.load.waiting_prompt_tokens + inbox_prompt_tokens_, request->num_prompt());
    if (!room.ok()) return room;
    inbox_prompt_tokens_ += request->num_prompt();
    inbox_.push_back(std::move(request));
    Publish();
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void Engine::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mu_);
  drain_deadline_ = std::min(deadline, drain_deadline_.value_or(absl::InfiniteFuture()));
  progress_.draining = 1;
  Publish();
  drained_.wait(lock, [this] { return idle_ && inbox_.empty(); });
}

EngineStats Engine::Stats() const {
  const Progress progress = published_.Read();
  EngineStats stats;
  stats.load = progress.load;
  stats.draining = progress.draining != 0;
  stats.num_steps = progress.totals.num_steps;
  stats.num_prompt_tokens = progress.totals.num_prompt_tokens;
  stats.num_generated_tokens = progress.totals.num_generated_tokens;
  stats.work = scheduler_.work();
  return stats;
}

void Engine::Publish() {
  Progress progress = progress_;
  progress.load.waiting += static_cast<int64_t>(inbox_.size());
  progress.load.waiting_prompt_tokens += inbox_prompt_tokens_;
  published_.Write(progress);
}

// ---- The loop thread ----

void Engine::Loop() {
  absl::Status fatal;
  const size_t most = model_->max_in_flight();
  while (fatal.ok() && TakeOrders()) {
    StepBatch batch = scheduler_.Plan(options_.now());
    PublishAndDeliver();
    // Without a step to run beside, or with one that will never run, nothing is planned before all
    // is known.
    const size_t may_stay = Launch(std::move(batch)) ? most - 1 : 0;
    while (in_flight_.size() > may_stay) fatal.Update(CommitOldest());
  }
  while (!in_flight_.empty()) fatal.Update(CommitOldest());
  if (fatal.ok()) return EndAll(FinishReason::kCancelled, absl::OkStatus());
  EndAll(FinishReason::kError,
         absl::InternalError(absl::StrCat("the device is lost: ", fatal.message())));
  if (options_.on_fatal) options_.on_fatal(fatal);
}

bool Engine::TakeOrders() {
  std::vector<std::shared_ptr<Request>> requests;
  std::optional<absl::Time> drain_deadline;
  {
    std::unique_lock<std::mutex> lock(mu_);
    idle_ = scheduler_.idle();
    if (idle_ && inbox_.empty()) drained_.notify_all();
    wake_.wait(lock, [this] { return !idle_ || !inbox_.empty() || stop_; });
    idle_ = false;
    if (stop_) return false;
    requests = TakeInbox();
    drain_deadline = drain_deadline_;
  }
  EnqueueAll(std::move(requests));
  if (drain_deadline.has_value()) {
    const absl::Time now = options_.now();
    scheduler_.FinishWaiting(FinishReason::kError,
                             absl::UnavailableError("the server is shutting down"), now);
    if (now >= *drain_deadline) scheduler_.FinishAll(FinishReason::kCancelled, {}, now);
  }
  return true;
}

std::vector<std::shared_ptr<Request>> Engine::TakeInbox() {
  progress_.load.waiting += static_cast<int64_t>(inbox_.size());
  progress_.load.waiting_prompt_tokens += std::exchange(inbox_prompt_tokens_, 0);
  return std::exchange(inbox_, {});
}

void Engine::EnqueueAll(std::vector<std::shared_ptr<Request>> requests) {
  for (std::shared_ptr<Request>& request : requests) {
    const absl::Status status = scheduler_.Enqueue(std::move(request));
    WINNOW_CHECK(status.ok()) << "Submit took what the scheduler refuses: " << status;
  }
}

bool Engine::Launch(StepBatch batch) {
  if (batch.empty()) return false;
  in_flight_.push_back({std::move(batch), absl::OkStatus()});
  Step& step = in_flight_.back();
  step.launched = model_->Launch(step.batch);
  return step.launched.ok();
}

absl::Status Engine::CommitOldest() {
  const Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  absl::StatusOr<StepResult> result = StepResult();
  absl::Status status = step.launched;
  if (status.ok()) status = model_->Wait(&*result);
  if (!status.ok()) result = status;
  scheduler_.Commit(step.batch, result, options_.now());
  PublishAndDeliver();
  return absl::IsDataLoss(status) ? status : absl::OkStatus();
}

void Engine::PublishAndDeliver() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    progress_.load = scheduler_.load();
    progress_.totals = scheduler_.totals();
    Publish();
  }
  scheduler_.Deliver();
}

void Engine::EndAll(FinishReason reason, const absl::Status& error) {
  std::vector<std::shared_ptr<Request>> requests;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    ended_ = true;
    requests = TakeInbox();
  }
  EnqueueAll(std::move(requests));
  scheduler_.FinishAll(reason, error, options_.now());
  PublishAndDeliver();
  {
    const std::lock_guard<std::mutex> lock(mu_);
    idle_ = true;
  }
  drained_.notify_all();
}

}  // namespace winnow
