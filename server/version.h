// The version of this source tree, as programs print it.
#ifndef WINNOW_SERVER_VERSION_H_
#define WINNOW_SERVER_VERSION_H_

namespace winnow {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace winnow

#endif  // WINNOW_SERVER_VERSION_H_
