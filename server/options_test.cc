#include "server/options.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "winnow-server");
  return ParseCommandLine(static_cast<int>(args.size()), args.data());
}

Options Parsed(std::vector<const char*> args) {
  const CommandLine line = Parse(std::move(args));
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(Options());
}

TEST(OptionsTest, Defaults) {
  const Options options = Parsed({"--model=/models/tiny-1/"});
  EXPECT_EQ(options.model, "/models/tiny-1/");
  EXPECT_EQ(options.model_name, "tiny-1");
  EXPECT_THAT(options.listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_GE(options.threads, 1);
  EXPECT_FALSE(options.state_memory_bytes.has_value());
  EXPECT_EQ(options.backend, "cpu");
  EXPECT_EQ(options.compute, "bf16");
  EXPECT_EQ(options.gpu_memory_fraction, 0.9);
  EXPECT_EQ(options.state_dtype, "f32");
  EXPECT_EQ(options.state_ring, 0);
  EXPECT_EQ(options.shutdown_delay, absl::Seconds(5));
  EXPECT_FALSE(options.max_sequence_tokens.has_value());
}

TEST(OptionsTest, ValuesAndUnits) {
  const Options options = Parsed(
      {"--model", "m", "--model_name=x", "--listen=[::1]:0,unix:/tmp/s,localhost:80",
       "--state_memory=1.5MiB", "--shutdown_delay=250ms", "--drain_timeout=1m30s", "--threads=3",
       "--max_sequence_tokens=1000", "--max_tokens_limit=256", "--log_level=debug",
       "--backend=cuda", "--compute=f32", "--gpu_memory_fraction=0.5", "--cublaslt=/x/lt.so"});
  EXPECT_EQ(options.model_name, "x");
  EXPECT_THAT(options.listen, ElementsAre("[::1]:0", "unix:/tmp/s", "localhost:80"));
  EXPECT_EQ(options.state_memory_bytes, 3 << 19);
  EXPECT_EQ(options.shutdown_delay, absl::Milliseconds(250));
  EXPECT_EQ(options.drain_timeout, absl::Seconds(90));
  EXPECT_EQ(options.threads, 3);
  EXPECT_EQ(options.max_sequence_tokens, 1000);
  EXPECT_EQ(options.max_tokens_limit, 256);
  EXPECT_EQ(options.log_level, "debug");
  EXPECT_EQ(options.backend, "cuda");
  EXPECT_EQ(options.compute, "f32");
  EXPECT_EQ(options.gpu_memory_fraction, 0.5);
  EXPECT_EQ(options.cublaslt, "/x/lt.so");
}

TEST(OptionsTest, RecurrentStateOfTheCudaBackend) {
  const Options ring = Parsed({"--model=m", "--backend=cuda", "--state_ring=32"});
  EXPECT_EQ(ring.state_ring, 32);
  EXPECT_EQ(Parsed({"--model=m", "--backend=cuda", "--state_dtype=bf16"}).state_dtype, "bf16");
  // Off, for any backend.
  EXPECT_EQ(Parsed({"--model=m", "--state_ring=1", "--state_dtype=f32"}).state_ring, 1);

  const CommandLine both =
      Parse({"--model=m", "--backend=cuda", "--state_ring=4", "--state_dtype=bf16"});
  EXPECT_EQ(both.exit_code, 1);
  EXPECT_THAT(both.text, HasSubstr("--state_ring=4: needs --state_dtype=f32, not bf16"));
}

TEST(OptionsTest, Security) {
  const Options options =
      Parsed({"--model=m", "--tls_cert=c.pem", "--tls_key=k.pem", "--tls_client_ca=ca.pem",
              "--auth_file=t.json", "--reload_interval=10ms", "--health_listen=127.0.0.1:0",
              "--max_connection_streams=7", "--log_requests"});
  EXPECT_EQ(options.tls_cert, "c.pem");
  EXPECT_EQ(options.tls_key, "k.pem");
  EXPECT_EQ(options.tls_client_ca, "ca.pem");
  EXPECT_EQ(options.auth_file, "t.json");
  EXPECT_EQ(options.reload_interval, absl::Milliseconds(10));
  EXPECT_EQ(options.health_listen, "127.0.0.1:0");
  EXPECT_EQ(options.max_connection_streams, 7);
  EXPECT_TRUE(options.log_requests);
  EXPECT_FALSE(Parsed({"--model=m"}).log_requests);
}

TEST(OptionsTest, MetricsAndLog) {
  const Options none = Parsed({"--model=m"});
  EXPECT_EQ(none.metrics_port, 0);
  EXPECT_EQ(none.metrics_aliases, "none");
  EXPECT_EQ(none.log_format, "text");
  const Options options =
      Parsed({"--model=m", "--metrics_port=9464", "--metrics_aliases=vllm", "--log_format=json"});
  EXPECT_EQ(options.metrics_port, 9464);
  EXPECT_EQ(options.metrics_aliases, "vllm");
  EXPECT_EQ(options.log_format, "json");
}

TEST(OptionsTest, ExperimentsAreOff) {
  const Options none = Parsed({"--model=m"});
  EXPECT_FALSE(none.experiment_buffer_size.has_value());
  EXPECT_EQ(none.experiment_retention, "learned");
  const Options options = Parsed({"--model=m", "--experiment_buffer_size=0",
                                  "--experiment_retention=random", "--experiment_seed=7"});
  EXPECT_EQ(options.experiment_buffer_size, 0);
  EXPECT_EQ(options.experiment_retention, "random");
  EXPECT_EQ(options.experiment_seed, 7);

  const CommandLine cuda = Parse({"--model=m", "--backend=cuda", "--experiment_retention=recency"});
  EXPECT_EQ(cuda.exit_code, 1);
  EXPECT_THAT(cuda.text, HasSubstr("--experiment_retention=recency: needs --backend=cpu"));
}

TEST(OptionsTest, ModelNameOfDirectories) {
  EXPECT_EQ(Parsed({"--model=a/b/../demo"}).model_name, "demo");
  EXPECT_FALSE(Parsed({"--model=."}).model_name.empty());
  EXPECT_EQ(Parsed({"--model=/"}).model_name, "model");
}

struct Wrong {
  const char* flag;
  const char* message;
};

class WrongOptionTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongOptionTest, NamesFlagValueAndRange) {
  const CommandLine line = Parse({"--model=m", GetParam().flag});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, 1);
  EXPECT_THAT(line.text, HasSubstr(GetParam().flag));
  EXPECT_THAT(line.text, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongOptionTest,
    ::testing::Values(Wrong{"--tls_cert=c.pem", "needs --tls_key too"},
                      Wrong{"--tls_key=k.pem", "needs --tls_cert too"},
                      Wrong{"--tls_client_ca=ca.pem", "needs --tls_cert and --tls_key too"},
                      Wrong{"--health_listen=here", "must be host:port"},
                      Wrong{"--reload_interval=1ms", "from 10ms to 1h"},
                      Wrong{"--max_connection_streams=0", "whole number from 1"},
                      Wrong{"--threads=0", "whole number from 1 to 1024"},
                      Wrong{"--threads=two", "whole number from 1 to 1024"},
                      Wrong{"--max_step_tokens=1.5", "whole number from 1"},
                      Wrong{"--max_sequences=-1", "whole number from 1"},
                      Wrong{"--state_memory=4", "from 1KiB to 1024TiB"},
                      Wrong{"--state_memory=4Gib", "is not a size"},
                      Wrong{"--shutdown_delay=5", "is not a duration"},
                      Wrong{"--drain_timeout=-1s", "is negative"},
                      Wrong{"--backend=tpu", "must be one of: cpu, cuda"},
                      Wrong{"--compute=f16", "must be one of: bf16, f32"},
                      Wrong{"--gpu_memory_fraction=0", "above 0 and at most 1"},
                      Wrong{"--gpu_memory_fraction=1.01", "above 0 and at most 1"},
                      Wrong{"--gpu_memory_fraction=nan", "above 0 and at most 1"},
                      Wrong{"--state_ring=-1", "whole number from 0 to 32"},
                      Wrong{"--state_ring=33", "whole number from 0 to 32"},
                      Wrong{"--state_ring=16", "needs --backend=cuda"},
                      Wrong{"--state_dtype=bf16", "needs --backend=cuda"},
                      Wrong{"--state_dtype=f16", "must be one of: f32, bf16"},
                      Wrong{"--drain_timeout=25h", "must be from 0 to 24h"},
                      Wrong{"--metrics_port=65536", "must be a whole number from 0 to 65535"},
                      Wrong{"--metrics_aliases=tgi", "must be one of: none, vllm"},
                      Wrong{"--log_format=xml", "must be one of: text, json"},
                      Wrong{"--log_level=loud", "must be one of: debug, info, warn, error, off"},
                      Wrong{"--max_tokens_limit=5", "must not be below --default_max_tokens=256"},
                      Wrong{"--experiment_buffer_size=-1", "whole number from 0"},
                      Wrong{"--experiment_retention=oldest",
                            "must be one of: learned, recency, random"},
                      Wrong{"--no_such_flag=1", "not expected"}));

TEST(OptionsTest, WrongAddresses) {
  for (const char* flag : {"--listen=", "--listen=host", "--listen=:1", "--listen=h:65536",
                           "--listen=::1:80", "--listen=h:x", "--listen=unix:", "--listen=a:1,b"}) {
    const CommandLine line = Parse({"--model=m", flag});
    EXPECT_EQ(line.exit_code, 1) << flag;
    EXPECT_THAT(line.text, HasSubstr("--listen")) << flag;
  }
}

TEST(OptionsTest, ModelIsRequired) {
  const CommandLine line = Parse({});
  EXPECT_EQ(line.exit_code, 1);
  EXPECT_THAT(line.text, HasSubstr("--model"));
}

TEST(OptionsTest, GivenTwiceIsRefused) {
  EXPECT_EQ(Parse({"--model=a", "--threads=1", "--threads=2"}).exit_code, 1);
}

TEST(OptionsTest, HelpIsGroupedAndVersionIsPrinted) {
  const CommandLine help = Parse({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* group : {"Model:", "Network:", "Compute:", "State:", "Scheduling:", "Requests:",
                            "Shutdown:", "Metrics (docs/metrics.md):", "Logging:", "Experiments"}) {
    EXPECT_THAT(help.text, HasSubstr(group));
  }
  EXPECT_THAT(help.text, HasSubstr("--max_message_bytes SIZE=64MiB"));
  EXPECT_THAT(help.text, HasSubstr("--config FILE"));
  EXPECT_THAT(Parse({"--version"}).text, HasSubstr("winnow-server "));
}

}  // namespace
}  // namespace winnow
