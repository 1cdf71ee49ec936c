// A whole run: its stages one after the other, or the search for the highest rate.
#ifndef WINNOW_CLIENT_LOAD_LOAD_RUN_H_
#define WINNOW_CLIENT_LOAD_LOAD_RUN_H_

#include <vector>

#include "client/load/load_options.h"
#include "client/load/load_target.h"
#include "client/load/measured_stage.h"
#include "client/load/requests_file.h"
#include "client/load/stopper.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow::load {

// Blocks until all has ended. Progress goes to standard error if that is a terminal.
MeasuredRun RunLoad(const LoadOptions& options, std::vector<FileRequest> requests,
                    const v1::GetModelInfoResponse& info, LoadTarget* target, Stopper* stopper);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LOAD_RUN_H_
