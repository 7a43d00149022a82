// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/kernel_check.hpp"

#include <sys/utsname.h>

#include <cstdio>
#include <utility>

namespace librettos {

std::string kernel_release() {
    utsname names{};
    uname(&names);  // cannot fail
    return names.release;
}

StartCheck check_kernel(std::string const& release) {
    constexpr std::pair oldest{5U, 11U};
    std::pair<unsigned, unsigned> version{};
    if (std::sscanf(release.c_str(), "%u.%u", &version.first, &version.second) != 2 || version < oldest) {
        return {"kernel", StartCheck::Verdict::bad,
                "Linux " + release +
                    " is too old: data threads sleep in epoll_pwait2(2), which is there from Linux 5.11 on",
                "boot Linux 5.11 or newer"};
    }
    return {"kernel", StartCheck::Verdict::good, "Linux " + release, ""};
}

}  // namespace librettos
