#include "model/safetensors.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/json.h"
#include "model/safetensors_header.h"

namespace winnow {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

// Bytes of one element; none for types that we do not know or that do not fill whole bytes.
std::optional<uint64_t> ElementBytes(std::string_view dtype) {
  static constexpr struct {
    std::string_view name;
    uint64_t bytes;
  } kTypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
                {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
                {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8}};
  for (const auto& type : kTypes) {
    if (type.name == dtype) return type.bytes;
  }
  return std::nullopt;
}

absl::Status TensorError(const std::string& name, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", JsonExcerpt(name), ": ", message));
}

// The header's JSON, with what stands before it checked.
absl::StatusOr<std::string_view> HeaderText(std::string_view file) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("only ", file.size(), " bytes: too short for a safetensors file"));
  }
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<uint64_t>(static_cast<unsigned char>(file[i])) << (8 * i);
  }
  if (length > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", length, " bytes; at most ", kMaxHeaderBytes, " are allowed"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", length, " bytes in a file of ", file.size(), ": truncated"));
  }
  const std::string_view header = file.substr(kLengthBytes, length);
  if (header.empty() || header.front() != '{') {
    return absl::InvalidArgumentError("header does not begin with '{'");
  }
  return header;
}

// Checks that the entry's bytes are what its dtype and shape need and lie within the data.
absl::StatusOr<SafetensorsEntry> CheckEntry(const std::string& name,
                                            const SafetensorsHeaderEntry& header,
                                            std::string_view data) {
  const std::optional<uint64_t> element_bytes = ElementBytes(header.dtype);
  if (!element_bytes.has_value()) {
    return TensorError(name, absl::StrCat("unknown dtype ", JsonExcerpt(header.dtype)));
  }
  uint64_t size = *element_bytes;
  for (const uint64_t dim : header.shape) {
    if (dim > INT64_MAX || __builtin_mul_overflow(size, dim, &size) || size > INT64_MAX) {
      return TensorError(name, absl::StrCat("shape [", absl::StrJoin(header.shape, ", "),
                                            "] has more bytes than can be counted"));
    }
  }
  if (header.begin > header.end || header.end > data.size()) {
    return TensorError(name, absl::StrCat("data_offsets [", header.begin, ", ", header.end,
                                          "] do not lie in the file's ", data.size(),
                                          " bytes of data: truncated, or not its header"));
  }
  if (header.end - header.begin != size) {
    return TensorError(name, absl::StrCat(header.dtype, " [", absl::StrJoin(header.shape, ", "),
                                          "] needs ", size, " bytes, data_offsets [", header.begin,
                                          ", ", header.end, "] give ", header.end - header.begin));
  }
  SafetensorsEntry entry;
  entry.dtype = header.dtype;
  entry.shape.assign(header.shape.begin(), header.shape.end());
  entry.data = reinterpret_cast<const std::byte*>(data.data()) + header.begin;
  entry.size_bytes = static_cast<int64_t>(size);
  return entry;
}

// Tensors follow one another without gaps or overlaps, from the start of the data to its end.
absl::Status CheckContiguous(const SafetensorsHeader& header, uint64_t data_bytes) {
  using Named = std::pair<const std::string, SafetensorsHeaderEntry>;
  std::vector<const Named*> order;
  for (const Named& tensor : header.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t end = 0;
  for (const Named* tensor : order) {
    if (tensor->second.begin != end) {
      return TensorError(tensor->first,
                         absl::StrCat("begins at byte ", tensor->second.begin,
                                      " of the data, but the tensors before it end at ", end));
    }
    end = tensor->second.end;
  }
  if (end != data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensors end at byte ", end, " of the data, which has ", data_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsEntries> ParseSafetensors(std::string_view file,
                                                    SafetensorsMetadata* metadata) {
  const absl::StatusOr<std::string_view> text = HeaderText(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(*text);
  if (!header.ok()) return header.status();
  const std::string_view data = file.substr(kLengthBytes + text->size());
  SafetensorsEntries entries;
  for (const auto& [name, tensor] : header->tensors) {
    absl::StatusOr<SafetensorsEntry> entry = CheckEntry(name, tensor, data);
    if (!entry.ok()) return entry.status();
    entries.emplace_hint(entries.end(), name, *std::move(entry));
  }
  if (absl::Status order = CheckContiguous(*header, data.size()); !order.ok()) return order;
  if (metadata != nullptr) *metadata = std::move(header->metadata);
  return entries;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  absl::StatusOr<MappedFile> mapped = MappedFile::Open(path);
  if (!mapped.ok()) return mapped.status();
  SafetensorsFile file;
  file.path_ = path;
  file.file_ = *std::move(mapped);
  absl::StatusOr<SafetensorsEntries> entries =
      ParseSafetensors(file.file_.bytes(), &file.metadata_);
  if (!entries.ok()) return AtPath(path, entries.status());
  file.entries_ = *std::move(entries);
  return file;
}

}  // namespace winnow
