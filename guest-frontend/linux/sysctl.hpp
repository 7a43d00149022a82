// SPDX-License-Identifier: BSD-2-Clause
// Kernel settings under /proc/sys; those under net/ are of the calling thread's network namespace.
#pragma once

#include <string>

namespace librettos::guest {

// `name` is the path below /proc/sys. Both throw std::system_error.
void write_sysctl(std::string const& name, std::string const& value);
std::string read_sysctl(std::string const& name);

}  // namespace librettos::guest
