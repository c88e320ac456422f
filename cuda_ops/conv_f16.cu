// The convolution kernels in fp16.
#include "conv_launch.h"

namespace restore {
const char* conv_half(const Conv& c, void* stream) { return conv<Half>(c, stream); }
}  // namespace restore
