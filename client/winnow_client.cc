// winnow-client: sends one prompt to a server and streams the answer. See --help.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/answer_printer.h"
#include "client/client_options.h"
#include "client/connect.h"
#include "client/exit_codes.h"
#include "client/rpc_error.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/grpcpp.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow {
namespace {

using Stub = v1::GenerationService::Stub;

RpcError ToRpcError(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message(),
          status.error_details()};
}

void SetDeadline(const ClientOptions& options, grpc::ClientContext* context) {
  if (!options.timeout.has_value()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + *options.timeout));
}

// Cancels the call at Ctrl-C. Blocks the signals first, so it must come before gRPC starts its
// threads.
class CancelOnSignal {
 public:
  CancelOnSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  // The thread is left to the process' end.
  void Watch(grpc::ClientContext* context) {
    std::thread([signals = signals_, context] {
      int signal = 0;
      if (sigwait(&signals, &signal) == 0) context->TryCancel();
      if (sigwait(&signals, &signal) == 0) _exit(kExitStopped);
    }).detach();
  }

 private:
  sigset_t signals_;
};

absl::StatusOr<std::string> ReadPrompt(const std::string& path) {
  std::string prompt;
  if (path == "-") {
    std::ostringstream text;
    text << std::cin.rdbuf();
    prompt = text.str();
  } else {
    auto text = ReadFile(path);
    if (!text.ok()) return text.status();
    prompt = *std::move(text);
  }
  if (!prompt.empty() && prompt.back() == '\n') prompt.pop_back();
  return prompt;
}

int Generate(const ClientOptions& options, Stub& stub, grpc::ClientContext& context) {
  const absl::Time start = absl::Now();
  AnswerPrinter printer(options, start, &std::cout, &std::cerr);
  auto reader = stub.Generate(&context, options.request);
  v1::GenerateResponse message;
  while (reader->Read(&message)) {
    printer.Add(message, absl::Now());
    if (!std::cout) context.TryCancel();  // nobody reads what we print
  }
  const RpcError status = ToRpcError(reader->Finish());
  printer.End(status, absl::Now());
  return ExitCodeFor(status.code);
}

// Prints a unary call's answer.
int Print(const grpc::Status& status, const google::protobuf::Message& answer) {
  if (!status.ok()) {
    std::cerr << "winnow-client: " << DescribeError(ToRpcError(status)) << std::endl;
    return ExitCodeFor(static_cast<absl::StatusCode>(status.error_code()));
  }
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  print.always_print_primitive_fields = true;
  print.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(answer, &text, print).ok()) return kExitOther;
  std::cout << text;
  return kExitOk;
}

int WrongUsage(const absl::Status& status) {
  std::cerr << "winnow-client: " << status.message() << std::endl;
  return kExitUsage;
}

// The ids with commas between, as --prompt_ids takes them.
int Tokenize(const ClientOptions& options, Stub& stub, grpc::ClientContext& context) {
  v1::TokenizeRequest request;
  request.set_model(options.request.model());
  request.set_text(options.request.text());
  request.set_skip_special_tokens(options.skip_special_tokens);
  v1::TokenizeResponse response;
  const grpc::Status status = stub.Tokenize(&context, request, &response);
  if (!status.ok() || options.form == OutputForm::kJson) return Print(status, response);
  std::cout << absl::StrJoin(response.ids(), ",") << std::endl;
  return kExitOk;
}

int Detokenize(const ClientOptions& options, Stub& stub, grpc::ClientContext& context) {
  v1::DetokenizeRequest request;
  request.set_model(options.request.model());
  *request.mutable_ids() = options.request.token_ids().ids();
  request.set_include_special_tokens(options.request.output().include_special_tokens());
  v1::DetokenizeResponse response;
  const grpc::Status status = stub.Detokenize(&context, request, &response);
  if (!status.ok() || options.form == OutputForm::kJson) return Print(status, response);
  std::cout << response.text() << std::endl;
  return kExitOk;
}

int Run(ClientOptions options) {
  signal(SIGPIPE, SIG_IGN);
  if (options.prompt_file.has_value()) {
    auto prompt = ReadPrompt(*options.prompt_file);
    if (!prompt.ok()) return WrongUsage(prompt.status());
    options.request.set_text(*std::move(prompt));
  }
  CancelOnSignal cancel;
  const auto channel = Connect(options);
  if (!channel.ok()) return WrongUsage(channel.status());
  const std::unique_ptr<Stub> stub = v1::GenerationService::NewStub(*channel);
  // Outlives the watching thread, which nobody joins.
  auto* context = new grpc::ClientContext();
  SetDeadline(options, context);
  if (absl::Status status = AddToken(options, context); !status.ok()) return WrongUsage(status);
  cancel.Watch(context);
  switch (options.action) {
    case ClientAction::kGenerate:
      return Generate(options, *stub, *context);
    case ClientAction::kModelInfo: {
      v1::GetModelInfoResponse info;
      v1::GetModelInfoRequest request;
      request.set_model(options.request.model());
      return Print(stub->GetModelInfo(context, request, &info), info);
    }
    case ClientAction::kLoad: {
      v1::GetLoadResponse load;
      return Print(stub->GetLoad(context, {}, &load), load);
    }
    case ClientAction::kTokenize:
      return Tokenize(options, *stub, *context);
    case ClientAction::kDetokenize:
      return Detokenize(options, *stub, *context);
  }
  return kExitOther;
}

}  // namespace
}  // namespace winnow

int main(int argc, char** argv) {
  const winnow::ClientCommandLine line =
      winnow::ParseClientCommandLine(argc, argv, isatty(STDIN_FILENO) != 0);
  if (!line.options.has_value()) {
    std::fputs(line.text.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return winnow::Run(*line.options);
}
