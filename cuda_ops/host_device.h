// What both sides run: nvcc makes two of it, a host compiler one.
#pragma once

#if defined(__CUDACC__)
#define RESTORE_HOST_DEVICE __host__ __device__
#else
#define RESTORE_HOST_DEVICE
#endif
