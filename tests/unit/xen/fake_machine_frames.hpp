// SPDX-License-Identifier: BSD-2-Clause
// The machine's frames and Xen's table of them, below libxencall and libxenforeignmemory, as a PV domain sees them.
#pragma once

#include <cstdint>
#include <map>
#include <set>

namespace librettos::test {

class FakeMachineFrames {
  public:
    static constexpr std::uint64_t frames_per_extent = 262'144;  // that 2 MiB of the table describe
    static constexpr std::uint64_t nobody = ~std::uint64_t{0};

    static FakeMachineFrames& machine();  // the one that the C functions work on
    void reset() { *this = {}; }

    std::uint64_t extents = 3;                     // of the table
    std::set<std::uint64_t> holes;                 // extents that are not there
    std::map<std::uint64_t, std::uint64_t> table;  // machine frame -> what its domain calls it; others: nobody
    std::map<std::uint64_t, std::uint64_t> own;    // machine frames of this domain -> their first eight bytes
    bool control_domain = true;
    int calls = 0;
    int fail_at = 0;  // that call fails

    // Still open.
    int handles = 0, buffers = 0, mappings = 0;

    // True: the call has to fail now; errno is set.
    bool fault();
};

}  // namespace librettos::test
