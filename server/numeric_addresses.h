// From a name to the addresses that stand behind it.
#ifndef WINNOW_SERVER_NUMERIC_ADDRESSES_H_
#define WINNOW_SERVER_NUMERIC_ADDRESSES_H_

#include <string>
#include <vector>

namespace winnow {

// "localhost:80" is "127.0.0.1:80" and "[::1]:80": each address once, in the resolver's order. What
// has no name to resolve (numbers, "unix:path") or cannot be resolved is returned as it is.
// Blocks while it resolves.
std::vector<std::string> NumericAddresses(const std::string& address);

}  // namespace winnow

#endif  // WINNOW_SERVER_NUMERIC_ADDRESSES_H_
