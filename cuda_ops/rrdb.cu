// rrdb.h for the device.
#include "rrdb.h"

namespace restore {
int64_t rrdb_workspace_bytes(const RrdbCall& call) { return rrdb_detail::Plan(call).bytes(); }
const char* rrdb_forward(const RrdbCall& call, void* stream) { return rrdb_detail::forward(call, stream); }
}  // namespace restore
