#include "client/load/stage_runner.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace winnow::load {
namespace {

constexpr int64_t kProgressNs = 200'000'000;

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::chrono::steady_clock::time_point ToTime(int64_t ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace

StageRunner::StageRunner(LoadTarget* target, RequestSource* source, const CallSettings& settings,
                         std::function<void(const StageProgress&)> on_progress)
    : target_(target), source_(source), settings_(settings), on_progress_(std::move(on_progress)) {}

StageResult StageRunner::Run(const StagePlan& plan, Random* arrivals) {
  const double cpu_before = CpuSeconds();
  {
    std::lock_guard<std::mutex> lock(mu_);
    records_.clear();
    freed_ns_.clear();
    progress_ = {};
    if (plan.num_requests.has_value()) {
      progress_.planned = *plan.num_requests + plan.warmup_requests;
    }
  }
  start_ns_ = next_progress_ns_ = NowNs();
  window_ = {};
  if (const auto* rate = std::get_if<RateRange>(&plan.level)) {
    RunOpen(plan, *rate, arrivals);
  } else {
    RunClosed(plan, std::get<Concurrency>(plan.level).requests);
  }
  std::unique_lock<std::mutex> lock(mu_);
  Await(&lock, std::nullopt, [this] { return progress_.ended == progress_.sent; });
  std::sort(records_.begin(), records_.end(), [](const CallRecord& a, const CallRecord& b) {
    return a.scheduled_ns < b.scheduled_ns;
  });
  return {.level = plan.level,
          .records = std::move(records_),
          .start_ns = start_ns_,
          .window = stopped_ ? StageWindow() : window_,
          .cpu_seconds = CpuSeconds() - cpu_before,
          .stopped = stopped_};
}

void StageRunner::RunOpen(const StagePlan& plan, const RateRange& rate, Random* arrivals) {
  const int64_t num =
      plan.num_requests.has_value() ? *plan.num_requests : NumArrivals(rate, *plan.seconds);
  // The warm-up goes before, at the rate that the stage begins with.
  const RateRange warmup_rate = {rate.begin, rate.begin};
  std::vector<int64_t> times =
      DrawArrivals(warmup_rate, plan.arrivals, plan.warmup_requests, arrivals);
  const auto warmup_ns = static_cast<int64_t>(SecondsFor(warmup_rate, plan.warmup_requests) * 1e9);
  window_ = {.begin_ns = start_ns_ + warmup_ns,
             .end_ns = start_ns_ + warmup_ns + static_cast<int64_t>(SecondsFor(rate, num) * 1e9)};
  for (const int64_t time : DrawArrivals(rate, plan.arrivals, num, arrivals)) {
    times.push_back(warmup_ns + time);
  }
  for (size_t i = 0; i < times.size(); ++i) {
    const int64_t due_ns = start_ns_ + times[i];
    {
      std::unique_lock<std::mutex> lock(mu_);
      progress_.planned = static_cast<int64_t>(times.size());
      Await(&lock, due_ns, [this] { return stopped_; });
      if (stopped_) return;
    }
    Send(due_ns, static_cast<int64_t>(i) < plan.warmup_requests);
  }
}

void StageRunner::RunClosed(const StagePlan& plan, int concurrency) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    freed_ns_.assign(concurrency, start_ns_);
  }
  // The measured time begins when the last of the warm-up has been sent.
  std::optional<int64_t> end_ns;
  for (int64_t sent = 0;; ++sent) {
    const bool warmup = sent < plan.warmup_requests;
    if (!warmup && !end_ns.has_value() && plan.seconds.has_value()) {
      end_ns = NowNs() + static_cast<int64_t>(*plan.seconds * 1e9);
    }
    if (plan.num_requests.has_value() && sent == *plan.num_requests + plan.warmup_requests) return;
    int64_t freed_ns;
    {
      std::unique_lock<std::mutex> lock(mu_);
      Await(&lock, end_ns, [this] { return stopped_ || !freed_ns_.empty(); });
      if (stopped_ || (end_ns.has_value() && NowNs() >= *end_ns)) return;
      freed_ns = freed_ns_.front();
      freed_ns_.pop_front();
    }
    Send(freed_ns, warmup);
  }
}

void StageRunner::Send(int64_t scheduled_ns, bool warmup) {
  CallOwner* const owner = this;
  auto call = std::make_shared<Call>(source_->Next(), settings_, owner);
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (stopped_) return;
    in_flight_.emplace(call.get(), call);
    ++progress_.sent;
  }
  call->Start(target_->NextStub(), scheduled_ns, warmup);
}

void StageRunner::OnCallDone(Call* call) {
  std::shared_ptr<Call> done;
  {
    std::lock_guard<std::mutex> lock(mu_);
    const auto entry = in_flight_.find(call);
    done = std::move(entry->second);
    in_flight_.erase(entry);
  }
  CallRecord record = std::move(done->record());
  // Gone before Run can know that the call has ended: a call holds its channel, and a channel whose
  // last holder is a thread of gRPC's has that thread wait for itself.
  done.reset();
  std::lock_guard<std::mutex> lock(mu_);
  ++progress_.ended;
  if (record.failed()) ++progress_.failed;
  freed_ns_.push_back(record.end_ns);
  records_.push_back(std::move(record));
  changed_.notify_one();
}

void StageRunner::Await(std::unique_lock<std::mutex>* lock, std::optional<int64_t> deadline_ns,
                        const std::function<bool()>& ready) {
  while (!ready()) {
    const int64_t now_ns = NowNs();
    if (deadline_ns.has_value() && now_ns >= *deadline_ns) return;
    if (now_ns >= next_progress_ns_) ShowProgress(lock);
    changed_.wait_until(
        *lock, ToTime(std::min(deadline_ns.value_or(next_progress_ns_), next_progress_ns_)));
  }
}

void StageRunner::ShowProgress(std::unique_lock<std::mutex>* lock) {
  const int64_t now_ns = NowNs();
  next_progress_ns_ = now_ns + kProgressNs;
  if (on_progress_ == nullptr) return;
  progress_.in_flight = static_cast<int64_t>(in_flight_.size());
  progress_.seconds = static_cast<double>(now_ns - start_ns_) * 1e-9;
  const StageProgress shown = progress_;
  lock->unlock();
  on_progress_(shown);
  lock->lock();
}

void StageRunner::Stop() {
  std::vector<std::shared_ptr<Call>> calls;
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopped_ = true;
    for (const auto& [unused, call] : in_flight_) calls.push_back(call);
  }
  // Without the lock: a reaction may run within.
  for (const auto& call : calls) call->Cancel();
  changed_.notify_one();
}

}  // namespace winnow::load
