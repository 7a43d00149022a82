// SPDX-License-Identifier: BSD-2-Clause
// The command line of librettos-guest.
#pragma once

#include "guest-frontend/linux/guest_options.hpp"

namespace librettos::guest {

// Prints --help and --version, and what is wrong with the arguments, and ends the process then.
GuestOptions parse_command_line(int argc, char** argv);

// What of `name` a namespace may be called.
std::string safe_name(std::string name);

}  // namespace librettos::guest
