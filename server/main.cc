// winnow-server: see --help.
#include <cstdio>

#include "server/options.h"
#include "server/run_server.h"

int main(int argc, char** argv) {
  const winnow::CommandLine line = winnow::ParseCommandLine(argc, argv);
  if (!line.options.has_value()) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return winnow::RunServer(*line.options);
}
