// What winnow-client's command line says.
#ifndef WINNOW_CLIENT_CLIENT_OPTIONS_H_
#define WINNOW_CLIENT_CLIENT_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/connection_flags.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

enum class ClientAction { kGenerate, kModelInfo, kLoad, kTokenize, kDetokenize };
enum class OutputForm {
  kText,        // the text as it comes; of several choices, each when it is whole
  kJson,        // one object at the end
  kJsonStream,  // one line per message
};

struct ClientOptions {
  std::string server = "127.0.0.1:50051";
  TlsFlags tls;
  std::string token_file;  // empty: no token
  ClientAction action = ClientAction::kGenerate;
  OutputForm form = OutputForm::kText;
  bool quiet = false;
  std::optional<absl::Duration> timeout;
  // Complete but for a prompt that is still to be read. Its prompt is also what kTokenize (text)
  // and kDetokenize (token ids) are about.
  v1::GenerateRequest request;
  bool skip_special_tokens = false;        // of kTokenize
  std::optional<std::string> prompt_file;  // "-": standard input
};

struct ClientCommandLine {
  std::optional<ClientOptions> options;  // absent: print `text` and exit with `exit_code`
  std::string text;
  int exit_code = 0;
};

// Without a prompt anywhere the prompt is standard input, unless that is a terminal
// (`stdin_is_terminal`): then it is wrong usage.
ClientCommandLine ParseClientCommandLine(int argc, const char* const* argv, bool stdin_is_terminal);

}  // namespace winnow

#endif  // WINNOW_CLIENT_CLIENT_OPTIONS_H_
