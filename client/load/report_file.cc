#include "client/load/report_file.h"

#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"

namespace winnow::load {

absl::Status WriteReport(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::cout << text << std::flush;
    return absl::OkStatus();
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("cannot write ", path));
}

}  // namespace winnow::load
