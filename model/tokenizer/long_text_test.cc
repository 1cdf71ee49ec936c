// Megabytes without a break: no text may take more than about linear time.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/tokenizer.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

// A megabyte of one kind of character after another: one word, or runs that expressions must look
// far ahead in.
TEST(LongTextTest, TakesLinearTime) {
  constexpr size_t kBytes = 1'000'000;
  for (const std::string& name : RecordedTokenizerNames()) {
    const auto tokenizer = LoadRecordedTokenizer(name);
    for (const std::string unit : {"a", "ab", " ", "\n", " \n", "1", "-", "é", "世", "😀",
                                   "e\xCC\x81", "<", "<|bos|", "'s", "\t "}) {
      std::string text;
      while (text.size() < kBytes) text += unit;
      const auto start = std::chrono::steady_clock::now();
      const auto ids = tokenizer->Encode(text, false);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      ASSERT_TRUE(ids.ok()) << ids.status();
      // Milliseconds on an idle machine; quadratic time would be minutes.
      EXPECT_LT(seconds.count(), 20) << name << " " << Json(unit);
      if (name == "demo") {
        EXPECT_EQ(tokenizer->Decode(*ids, true).value(), text);
      }
    }
  }
}

}  // namespace
}  // namespace winnow
