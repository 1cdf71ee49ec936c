// Tokens that the host does not know yet: a step may be issued while the one before it runs, and
// then what that one draws is an input of it.
//
// Sampling leaves every token that it draws on the device, in an array `drawn` with a place for
// each slot (SampleArgs). An input token DrawnToken(slot) stands for drawn[slot], as the steps
// issued before left it. Whatever is there is a token of the vocabulary: the array begins as zeros,
// and a row whose logits are faulty leaves it as it is.
#ifndef WINNOW_KERNELS_DRAWN_TOKEN_H_
#define WINNOW_KERNELS_DRAWN_TOKEN_H_

#include <cstdint>

namespace winnow {

inline constexpr uint32_t kDrawnFlag = uint32_t{1} << 31;  // ids are below

constexpr uint32_t DrawnToken(int32_t slot) { return kDrawnFlag | static_cast<uint32_t>(slot); }
constexpr bool IsDrawn(uint32_t token) { return (token & kDrawnFlag) != 0; }
constexpr int32_t DrawnSlot(uint32_t token) { return static_cast<int32_t>(token & ~kDrawnFlag); }

// The id that an input token is or stands for. `drawn` is read only for those that stand for one.
constexpr uint32_t TokenId(uint32_t token, const uint32_t* drawn) {
  return IsDrawn(token) ? drawn[DrawnSlot(token)] : token;
}

}  // namespace winnow

#endif  // WINNOW_KERNELS_DRAWN_TOKEN_H_
