#include "tools/random_checkpoint_lib.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/check.h"
#include "model/checkpoint_files.h"
#include "model/checkpoint_layout.h"
#include "model/config.h"
#include "tools/partial_file.h"
#include "tools/random_tensor.h"

namespace winnow {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlockElements = 1 << 20;  // what a thread makes and writes at a time

struct PlannedTensor {
  TensorSpec spec;
  DType dtype = DType::kF32;
  int64_t offset = 0;  // in its file's data
  int64_t bytes() const { return spec.num_elements() * DTypeBytes(dtype); }
};

struct PlannedFile {
  std::string name;
  std::vector<PlannedTensor> tensors;
  int64_t data_bytes = 0;
  std::string head;  // length and header
};

// A piece of work: some elements of a tensor and where they go.
struct Block {
  PartialFile* file = nullptr;
  const PlannedTensor* tensor = nullptr;
  int64_t data_start = 0;  // of the file's data
  int64_t first = 0;       // element
  int64_t count = 0;
};

// The tensors in the order in which they lie in the files: float32 ones first, so that everything
// is aligned.
std::vector<PlannedTensor> PlanTensors(const ModelConfig& config, DType dtype) {
  std::vector<PlannedTensor> tensors;
  for (TensorSpec& spec : CheckpointLayout(config)) {
    if (spec.role == TensorRole::kHead && !spec.same_as.empty()) continue;  // tied
    const bool is_f32 = spec.role == TensorRole::kALog || spec.role == TensorRole::kDtBias;
    tensors.push_back({.spec = std::move(spec), .dtype = is_f32 ? DType::kF32 : dtype});
  }
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return DTypeBytes(a.dtype) > DTypeBytes(b.dtype);
  });
  return tensors;
}

// u64 length and JSON, padded so that the data begins at a multiple of 64 bytes.
std::string Head(const PlannedFile& file) {
  nlohmann::ordered_json header;
  header["__metadata__"]["format"] = "pt";
  for (const PlannedTensor& tensor : file.tensors) {
    header[tensor.spec.name] = {{"dtype", DTypeName(tensor.dtype)},
                                {"shape", tensor.spec.shape},
                                {"data_offsets", {tensor.offset, tensor.offset + tensor.bytes()}}};
  }
  std::string json = header.dump();
  json.resize((json.size() + 8 + 63) / 64 * 64 - 8, ' ');
  std::string head;
  for (int i = 0; i < 8; ++i) head.push_back(static_cast<char>(json.size() >> (8 * i) & 0xff));
  return head + json;
}

std::vector<PlannedFile> PlanFiles(std::vector<PlannedTensor> tensors,
                                   std::optional<int64_t> shard_bytes) {
  std::vector<PlannedFile> files(1);
  for (PlannedTensor& tensor : tensors) {
    const int64_t bytes = tensor.bytes();
    if (shard_bytes.has_value() && !files.back().tensors.empty() &&
        files.back().data_bytes + bytes > *shard_bytes) {
      files.emplace_back();
    }
    PlannedFile& file = files.back();
    tensor.offset = file.data_bytes;
    file.data_bytes += bytes;
    file.tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = shard_bytes.has_value()
                        ? absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, files.size())
                        : kCheckpointFile;
    files[i].head = Head(files[i]);
  }
  return files;
}

std::string IndexJson(const std::vector<PlannedFile>& files) {
  nlohmann::ordered_json index;
  int64_t total = 0;
  for (const PlannedFile& file : files) total += file.data_bytes;
  index["metadata"]["total_size"] = total;
  for (const PlannedFile& file : files) {
    for (const PlannedTensor& tensor : file.tensors) {
      index["weight_map"][tensor.spec.name] = file.name;
    }
  }
  return index.dump(2) + "\n";
}

bool IsCheckpointFile(const std::string& name) {
  return name == "config.json" || name == kCheckpointFile || name == kCheckpointIndexFile ||
         (absl::StartsWith(name, "model-") && absl::EndsWith(name, ".safetensors"));
}

std::vector<fs::path> CheckpointFilesIn(const std::string& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (IsCheckpointFile(entry.path().filename())) found.push_back(entry.path());
  }
  return found;
}

// Makes and writes blocks with several threads; the first error ends all of them.
class BlockWriter {
 public:
  BlockWriter(const ModelConfig& config, const RandomCheckpointOptions& options,
              std::vector<Block> blocks)
      : config_(config), options_(options), blocks_(std::move(blocks)) {
    for (const Block& block : blocks_) {
      const int64_t bytes = block.count * DTypeBytes(block.tensor->dtype);
      total_ += bytes;
      largest_ = std::max(largest_, bytes);
    }
  }

  absl::Status Run() {
    std::vector<std::thread> threads;
    for (int i = 1; i < options_.threads; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    return status_;
  }

 private:
  void Work() {
    std::vector<float> buffer(largest_ / sizeof(float) + 1);  // aligned for every type
    for (size_t i = next_++; i < blocks_.size(); i = next_++) {
      if (!Finished(blocks_[i], Write(blocks_[i], reinterpret_cast<std::byte*>(buffer.data())))) {
        return;
      }
    }
  }

  absl::Status Write(const Block& block, std::byte* buffer) const {
    const PlannedTensor& tensor = *block.tensor;
    RandomTensor(tensor.spec, config_, options_.seed, tensor.dtype)
        .Fill(block.first, block.count, buffer);
    const int64_t element = DTypeBytes(tensor.dtype);
    return block.file->WriteAt(block.data_start + tensor.offset + block.first * element, buffer,
                               block.count * element);
  }

  // Whether to go on.
  bool Finished(const Block& block, const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mu_);
    if (status_.ok()) status_ = status;
    done_ += block.count * DTypeBytes(block.tensor->dtype);
    if (status_.ok() && options_.progress) options_.progress(done_, total_);
    return status_.ok();
  }

  const ModelConfig& config_;
  const RandomCheckpointOptions& options_;
  const std::vector<Block> blocks_;
  int64_t total_ = 0;    // bytes
  int64_t largest_ = 0;  // bytes of a block

  std::atomic<size_t> next_ = 0;
  std::mutex mu_;
  absl::Status status_;  // guarded by mu_ while threads run
  int64_t done_ = 0;     // guarded by mu_
};

void AddBlocks(const PlannedFile& planned, PartialFile* file, std::vector<Block>* blocks) {
  for (const PlannedTensor& tensor : planned.tensors) {
    const int64_t n = tensor.spec.num_elements();
    for (int64_t first = 0; first < n; first += kBlockElements) {
      blocks->push_back({.file = file,
                         .tensor = &tensor,
                         .data_start = static_cast<int64_t>(planned.head.size()),
                         .first = first,
                         .count = std::min(kBlockElements, n - first)});
    }
  }
}

absl::StatusOr<PartialFile> WriteText(const std::string& path, const std::string& text) {
  absl::StatusOr<PartialFile> file = PartialFile::Create(path, text.size());
  if (!file.ok()) return file;
  if (absl::Status written = file->WriteAt(0, text.data(), text.size()); !written.ok()) {
    return written;
  }
  return file;
}

absl::Status PrepareDirectory(const std::string& directory, bool overwrite) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return absl::ErrnoToStatus(error.value(), directory);
  const std::vector<fs::path> found = CheckpointFilesIn(directory);
  if (!found.empty() && !overwrite) {
    return absl::AlreadyExistsError(absl::StrCat(found[0].string(), " exists; not overwritten"));
  }
  return absl::OkStatus();
}

absl::Status CommitAll(const std::string& directory, std::vector<PartialFile>* files) {
  for (const fs::path& old : CheckpointFilesIn(directory)) {
    std::error_code error;
    fs::remove(old, error);
    if (error) return absl::ErrnoToStatus(error.value(), old.string());
  }
  for (PartialFile& file : *files) {
    if (absl::Status committed = file.Commit(); !committed.ok()) return committed;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteRandomCheckpoint(const std::string& config_json, const std::string& directory,
                                   const RandomCheckpointOptions& options) {
  const absl::StatusOr<ModelConfig> config = ParseModelConfig(config_json);
  if (!config.ok()) return config.status();
  if (absl::Status ready = PrepareDirectory(directory, options.overwrite); !ready.ok()) {
    return ready;
  }
  const std::vector<PlannedFile> plan =
      PlanFiles(PlanTensors(*config, options.dtype), options.shard_bytes);

  std::vector<std::pair<std::string, const std::string*>> texts = {{"config.json", &config_json}};
  const std::string index = IndexJson(plan);
  if (options.shard_bytes.has_value()) texts.emplace_back(kCheckpointIndexFile, &index);

  std::vector<PartialFile> files;
  files.reserve(plan.size() + texts.size());  // blocks point into it
  std::vector<Block> blocks;
  for (const PlannedFile& planned : plan) {
    absl::StatusOr<PartialFile> file = PartialFile::Create(
        absl::StrCat(directory, "/", planned.name), planned.head.size() + planned.data_bytes);
    if (!file.ok()) return file.status();
    absl::Status written = file->WriteAt(0, planned.head.data(), planned.head.size());
    if (!written.ok()) return written;
    files.push_back(*std::move(file));
    AddBlocks(planned, &files.back(), &blocks);
  }
  for (const auto& [name, text] : texts) {
    absl::StatusOr<PartialFile> file = WriteText(absl::StrCat(directory, "/", name), *text);
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  BlockWriter writer(*config, options, std::move(blocks));
  if (absl::Status written = writer.Run(); !written.ok()) return written;
  return CommitAll(directory, &files);
}

}  // namespace winnow
