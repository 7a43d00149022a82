// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

#include "drivers/unique_fd.hpp"

namespace librettos {

// At 0, not for children. `flags`: EFD_NONBLOCK or 0. Throws std::system_error that says `purpose`.
inline UniqueFd make_eventfd(int flags, char const* purpose) {
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | flags));
    if (!fd) {
        throw std::system_error(errno, std::generic_category(), purpose);
    }
    return fd;
}

}  // namespace librettos
