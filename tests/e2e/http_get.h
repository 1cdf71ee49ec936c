// A client for the plain HTTP of metrics, and of Prometheus itself.
#ifndef WINNOW_TESTS_E2E_HTTP_GET_H_
#define WINNOW_TESTS_E2E_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"

namespace winnow {

// The body of http://127.0.0.1:port/path. UNAVAILABLE: nobody listens, or it hung up; NOT_FOUND: an
// answer other than 200, with its status line.
absl::StatusOr<std::string> HttpGet(int port, const std::string& path);

// A port of 127.0.0.1 that nobody listens on. Somebody else may take it before the caller does.
int FreePort();

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_HTTP_GET_H_
