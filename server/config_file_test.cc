// Flags from files, as the server's command line takes them.
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/options.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string WriteConfig(const std::string& text) {
  const std::string path = absl::StrCat(testing::TempDir(), "/config");
  std::ofstream(path) << text;
  return path;
}

CommandLine Parse(std::vector<std::string> args) {
  args.insert(args.begin(), "winnow-server");
  std::vector<const char*> argv;
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

CommandLine ParseConfig(const std::string& text, std::vector<std::string> args = {}) {
  args.push_back(absl::StrCat("--config=", WriteConfig(text)));
  return Parse(std::move(args));
}

Options Parsed(const CommandLine& line) {
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(Options());
}

TEST(ConfigFileTest, SetsFlagsOfEveryType) {
  const Options options =
      Parsed(ParseConfig("model: m  # a directory\n"
                         "listen: [\"127.0.0.1:0\", 'unix:/tmp/s']\n"
                         "health_listen: \"[::1]:7\"\n"
                         "threads: 3\n"
                         "gpu_memory_fraction: 0.5\n"
                         "state_memory: 1.5MiB\n"
                         "shutdown_delay: \"250ms\"\n"
                         "max_connection_age: 10m\n"
                         "max_prompt_tokens: 1000\n"
                         "log_format: json\n"
                         "log_requests: true\n"));
  EXPECT_EQ(options.model, "m");
  EXPECT_THAT(options.listen, ElementsAre("127.0.0.1:0", "unix:/tmp/s"));
  EXPECT_EQ(options.health_listen, "[::1]:7");
  EXPECT_EQ(options.threads, 3);
  EXPECT_EQ(options.gpu_memory_fraction, 0.5);
  EXPECT_EQ(options.state_memory_bytes, 3 << 19);
  EXPECT_EQ(options.shutdown_delay, absl::Milliseconds(250));
  EXPECT_EQ(options.max_connection_age, absl::Minutes(10));
  EXPECT_EQ(options.max_prompt_tokens, 1000);
  EXPECT_EQ(options.log_format, "json");
  EXPECT_TRUE(options.log_requests);
}

TEST(ConfigFileTest, Json) {
  const nlohmann::json json = {{"model", "m"},
                               {"listen", {"a:1", "b:2"}},
                               {"threads", 3},
                               {"log_requests", true},
                               {"drain_timeout", "2m"}};
  for (const int indent : {-1, 4}) {
    const Options options = Parsed(ParseConfig(json.dump(indent)));
    EXPECT_EQ(options.model, "m");
    EXPECT_THAT(options.listen, ElementsAre("a:1", "b:2"));
    EXPECT_EQ(options.threads, 3);
    EXPECT_TRUE(options.log_requests);
    EXPECT_EQ(options.drain_timeout, absl::Minutes(2));
  }
}

TEST(ConfigFileTest, CommandLineWins) {
  const std::string text =
      "model: m\nthreads: 3\nmax_waiting: 7\nlog_requests: true\nlisten: a:1\n";
  const Options options =
      Parsed(ParseConfig(text, {"--threads=4", "--log_requests=false", "--listen=b:2"}));
  EXPECT_EQ(options.threads, 4);
  EXPECT_EQ(options.max_waiting, 7);
  EXPECT_FALSE(options.log_requests);
  EXPECT_THAT(options.listen, ElementsAre("b:2"));
}

struct Wrong {
  const char* text;
  const char* message;  // after the file's name
};

class WrongConfigTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongConfigTest, NamesFileLineFlagValueAndRange) {
  const CommandLine line = ParseConfig(GetParam().text, {"--model=m"});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, 1);
  EXPECT_THAT(line.text, StartsWith(absl::StrCat("winnow-server: ", testing::TempDir(),
                                                 "/config:", GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongConfigTest,
    ::testing::Values(
        Wrong{"model: m\nno_such_flag: 1\n", "2: --no_such_flag=1: there is no such flag"},
        Wrong{"config: other\n", "1: --config=other: there is no such flag"},
        Wrong{"--threads: 1\n", "1: ----threads=1: there is no such flag"},
        Wrong{"threads: 0\n", "1: --threads=0: must be a whole number from 1 to 1024"},
        Wrong{"threads: 1.5\n", "1: --threads=1.5: must be a whole number from 1 to 1024"},
        Wrong{"threads: \"4\"\n", "1: --threads=\"4\": must be a whole number from 1 to 1024"},
        Wrong{"threads: [4]\n", "1: --threads=[4]: must be a whole number from 1 to 1024"},
        Wrong{"threads:\n", "1: --threads=null: must be a whole number from 1 to 1024"},
        Wrong{"threads: {a: 1}\n", "1: --threads={...}: must be a whole number from 1 to 1024"},
        Wrong{"model: [a, b]\n", "1: --model=[a, b]: must be a text"},
        Wrong{"gpu_memory_fraction: \"1\"\n",
              "1: --gpu_memory_fraction=\"1\": must be a number above 0 and at most 1"},
        Wrong{"log_requests: yes\n", "1: --log_requests=yes: must be true or false"},
        Wrong{"log_requests: \"true\"\n", "1: --log_requests=\"true\": must be true or false"},
        Wrong{"listen: []\n", "1: --listen=[]: must be host:port, [IPv6]:port or unix:path"},
        Wrong{"listen: [a]\n", "1: --listen=a: must be host:port, [IPv6]:port or unix:path"},
        Wrong{"log_level: loud\n", "1: --log_level=loud: must be one of: debug, info"},
        Wrong{"drain_timeout: 5\n", "1: --drain_timeout=5: is not a duration"},
        Wrong{"drain_timeout: 25h\n", "1: --drain_timeout=25h: must be from 0 to 24h"},
        Wrong{"state_memory: 4\n", "1: --state_memory=4: must be from 1KiB to 1024TiB"},
        Wrong{"metrics_port: 70000\n",
              "1: --metrics_port=70000: must be a whole number from 0 to 65535"},
        Wrong{"a: 1\na: 2\n", "2: a was given on line 1 already"}, Wrong{"- a\n", "1: must be one"},
        Wrong{"a: [1\n", "2: did not find expected"}));

TEST(ConfigFileTest, FileThatCannotBeRead) {
  const CommandLine line = Parse({"--model=m", "--config=/no/such/file"});
  EXPECT_EQ(line.exit_code, 1);
  EXPECT_THAT(line.text, HasSubstr("cannot read /no/such/file: No such file"));
  EXPECT_THAT(Parse({"--model=m", "--config=/"}).text, HasSubstr("is not a regular file"));
}

TEST(ConfigFileTest, WrongCommandLineIsRefusedAsWithoutFile) {
  const CommandLine line = ParseConfig("threads: 4\n", {"--model=m", "--threads=0"});
  EXPECT_EQ(line.exit_code, 1);
  EXPECT_THAT(line.text, HasSubstr("winnow-server: --threads=0: must be a whole number"));
}

TEST(PrintConfigTest, IsReadBackAsTheSame) {
  const CommandLine printed = ParseConfig(
      "model: \"a b: c\"\nstate_memory: 3MiB\nlisten: [\"127.0.0.1:0\", 'unix:/tmp/s']\n"
      "shutdown_delay: 1m30s\nauth_file: \"x\\ny\"\n",
      {"--threads=3", "--print_config", "--log_requests", "--gpu_memory_fraction=0.3"});
  EXPECT_EQ(printed.exit_code, 0);
  EXPECT_FALSE(printed.options.has_value());
  EXPECT_THAT(printed.text,
              AllOf(HasSubstr("\nthreads: 3\n"), HasSubstr("\nlog_requests: true\n"),
                    HasSubstr("\nshutdown_delay: 1m30s\n"), HasSubstr("\nmax_waiting: 1024\n"),
                    HasSubstr("# Model\nmodel: \"a b: c\"\nmodel_name: \"a b: c\"\n"),
                    HasSubstr("\nlisten: 127.0.0.1:0,unix:/tmp/s\n")));
  EXPECT_THAT(printed.text, Not(HasSubstr("max_tokens_limit")));
  const CommandLine again = ParseConfig(printed.text, {"--print_config"});
  EXPECT_EQ(again.text, printed.text);
  const Options options = Parsed(ParseConfig(printed.text));
  EXPECT_EQ(options.model, "a b: c");
  EXPECT_EQ(options.auth_file, "x\ny");
  EXPECT_EQ(options.state_memory_bytes, 3 << 20);
}

TEST(PrintConfigTest, RefusesWhatWouldNotBeServed) {
  EXPECT_EQ(Parse({"--print_config"}).exit_code, 1) << "no model";
  EXPECT_EQ(Parse({"--model=m", "--print_config", "--tls_cert=c"}).exit_code, 1);
}

}  // namespace
}  // namespace winnow
