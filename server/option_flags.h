// The server's flags: which field of Options each sets, its range, and what --help says of it.
#ifndef WINNOW_SERVER_OPTION_FLAGS_H_
#define WINNOW_SERVER_OPTION_FLAGS_H_

#include "server/flag_set.h"
#include "server/options.h"

namespace winnow {

// The present values are the defaults. `options` must outlive the set.
void AddOptionFlags(Options* options, FlagSet* flags);

}  // namespace winnow

#endif  // WINNOW_SERVER_OPTION_FLAGS_H_
