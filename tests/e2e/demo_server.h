// For end-to-end tests with a real model: the demo checkpoint, loaded and served in this process as
// the program does it.
#ifndef WINNOW_TESTS_E2E_DEMO_SERVER_H_
#define WINNOW_TESTS_E2E_DEMO_SERVER_H_

#include <memory>
#include <string>

#include "kernels/check.h"
#include "server/loaded_model.h"
#include "server/server.h"
#include "tests/e2e/harness.h"

namespace winnow {

// 40 sequences, on two threads.
inline Options DemoOptions() {
  Options options = TestOptions();
  options.model = "deploy/demo-model";
  options.model_name = "demo-model";
  options.max_sequences = 40;
  options.threads = 2;
  return options;
}

class DemoServer {
 public:
  explicit DemoServer(const Options& options = DemoOptions()) {
    auto loaded = LoadModel(options);
    WINNOW_CHECK(loaded.ok()) << loaded.status();
    loaded_ = *std::move(loaded);
    auto server = Server::Start(options, loaded_->served, /*on_fatal=*/nullptr);
    WINNOW_CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  const std::string& address() const { return server_->addresses()[0]; }
  const Tokenizer& tokenizer() const { return *loaded_->tokenizer; }

 private:
  std::unique_ptr<LoadedModel> loaded_;
  std::unique_ptr<Server> server_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_DEMO_SERVER_H_
