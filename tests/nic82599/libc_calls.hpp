// SPDX-License-Identifier: BSD-2-Clause
// The calls of libc that DPDK's VFIO code makes, defined once more: what concerns a FakeVfio goes to it, the rest to
// the kernel. In a program they precede libc's because the program is looked at first, in a preloaded library for the
// same reason.
#pragma once

#include "tests/nic82599/fake_vfio.hpp"

namespace nic82599 {

// From now on; nullptr: all to the kernel again. Referring to it links the calls into a program.
void route_libc_calls(FakeVfio* vfio);

}  // namespace nic82599
