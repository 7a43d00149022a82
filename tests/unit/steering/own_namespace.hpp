// SPDX-License-Identifier: BSD-2-Clause
// A network namespace of this process, for tests that make interfaces.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>
#include <string>

namespace librettos {

inline int run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
}

// Once for the process, before the first interface. False: it takes root.
inline bool enter_namespace() {
    static bool const entered = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
                                mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                                run("ip link set lo up") == 0;
    return entered;
}

}  // namespace librettos
