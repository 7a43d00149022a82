// SPDX-License-Identifier: BSD-2-Clause
// Whether the server can run on this kernel.
#pragma once

#include <string>

#include "drivers/start_check.hpp"

namespace librettos {

// As uname(2) has it: "6.1.0-28-amd64".
std::string kernel_release();

StartCheck check_kernel(std::string const& release = kernel_release());

}  // namespace librettos
