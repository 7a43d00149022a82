// SPDX-License-Identifier: BSD-2-Clause
// What it costs on this machine that somebody sleeps: microseconds on a processor of today, milliseconds on an emulated
// one or where each wake-up is a hypervisor's.
#pragma once

#include <chrono>

namespace librettos {

// From the write to an eventfd until the thread that waits for it runs; the shortest of several times, so that it is
// the machine's and not that of others who want its processors. The caller sleeps between them, some 10 ms in all, and
// processors idle as they do when no frames come. Throws std::system_error.
std::chrono::nanoseconds measure_wake_up();

}  // namespace librettos
