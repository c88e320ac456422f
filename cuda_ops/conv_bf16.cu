// The convolution kernels in bf16, and what is the same for every 16-bit type.
#include "conv_launch.h"
#include "pack.h"

namespace restore {
const char* conv_bf16(const Conv& c, void* stream) { return conv<Bf16>(c, stream); }
const char* pack_weights(const uint16_t* weight, uint16_t* packed, const Packing& packing, void* stream) {
  return launch_pack(weight, packed, packing, stream);
}
}  // namespace restore
