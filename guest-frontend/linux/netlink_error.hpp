// SPDX-License-Identifier: BSD-2-Clause
// libnl's errors as exceptions.
#pragma once

#include <netlink/errno.h>

#include <stdexcept>
#include <string>

namespace librettos::guest {

// `result`: a negative libnl error.
[[noreturn]] inline void throw_netlink(int result, std::string const& tried) {
    throw std::runtime_error(tried + ": " + nl_geterror(-result));
}

}  // namespace librettos::guest
