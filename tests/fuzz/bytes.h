// Takes values from the beginning of a fuzz target's input.
#ifndef WINNOW_TESTS_FUZZ_BYTES_H_
#define WINNOW_TESTS_FUZZ_BYTES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace winnow {

// An input that is at its end gives zeros and empty strings.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    const std::string one = String(1);
    return one.empty() ? 0 : static_cast<uint8_t>(one[0]);
  }
  // At most `size` bytes.
  std::string String(size_t size) {
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(text.size());
    return text;
  }
  std::string Rest() { return String(rest_.size()); }

 private:
  std::string_view rest_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_FUZZ_BYTES_H_
