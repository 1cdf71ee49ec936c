#include "server/run_server.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "server/loaded_model.h"
#include "server/log.h"
#include "server/server.h"
#include "server/stop_events.h"
#include "server/version.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

// For clients to take what has been written when the engine is done.
constexpr absl::Duration kCloseGrace = absl::Seconds(2);

int CannotStart(const absl::Status& status) {
  std::fprintf(stderr, "winnow-server: %s\n", std::string(status.message()).c_str());
  return kExitCannotStart;
}

int DeviceLost(Server& server) {
  server.AnnounceShutdown();
  server.Close(absl::Now() + kCloseGrace);
  return kExitDeviceLost;
}

// Runs Drain beside the main thread, which meanwhile waits for what may cut it short. Returns
// whether the device was lost.
bool DrainUnlessSignalled(absl::Time deadline, Server& server, StopEvents& events) {
  bool lost = false;
  std::thread drain([&] {
    server.Drain(deadline);
    events.NotifyDrained();
  });
  for (StopEvent event = events.Wait(); event != StopEvent::kDrained; event = events.Wait()) {
    lost |= event == StopEvent::kFatal;
    spdlog::warn("ending at once");
    server.Drain(absl::Now());
  }
  drain.join();
  return lost;
}

int ShutDown(const Options& options, Server& server, StopEvents& events) {
  server.AnnounceShutdown();
  spdlog::info("shutting down: calls are still taken for {}",
               absl::FormatDuration(options.shutdown_delay));
  const StopEvent event = events.Wait(absl::Now() + options.shutdown_delay);
  if (event == StopEvent::kFatal) return DeviceLost(server);
  const absl::Duration patience =
      event == StopEvent::kTimeout ? options.drain_timeout : absl::ZeroDuration();
  spdlog::info("refusing new and queued requests; running ones may finish for {}",
               absl::FormatDuration(patience));
  const absl::Time deadline = absl::Now() + patience;
  if (DrainUnlessSignalled(deadline, server, events)) return DeviceLost(server);
  server.Close(std::max(deadline, absl::Now() + kCloseGrace));
  spdlog::info("bye");
  return 0;
}

}  // namespace

int ServeUntilStopped(const Options& options, const ServedModel& served, StopEvents& events) {
  auto server = Server::Start(options, served, [&events](const absl::Status& status) {
    spdlog::error("the device is lost: {}", std::string(status.message()));
    events.NotifyFatal();
  });
  if (!server.ok()) return CannotStart(server.status());
  for (const std::string& address : (*server)->addresses()) {
    std::printf("listening on %s\n", address.c_str());
  }
  if (const auto health = (*server)->health_address(); health.has_value()) {
    std::printf("health listening on %s\n", health->c_str());
  }
  if (const auto metrics = (*server)->metrics_address(); metrics.has_value()) {
    std::printf("metrics listening on %s\n", metrics->c_str());
  }
  std::fflush(stdout);
  if (events.Wait() == StopEvent::kFatal) return DeviceLost(**server);
  return ShutDown(options, **server, events);
}

int RunServer(const Options& options) {
  StopEvents events;
  StartLog(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText, options.log_level);
  const absl::Time start = absl::Now();
  spdlog::info("winnow-server {}", kVersion);
  auto loaded = LoadModel(options);
  if (!loaded.ok()) return CannotStart(loaded.status());
  spdlog::info("loaded in {:.2f} s", absl::ToDoubleSeconds(absl::Now() - start));
  return ServeUntilStopped(options, (*loaded)->served, events);
}

}  // namespace winnow
