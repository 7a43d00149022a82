// SPDX-License-Identifier: BSD-2-Clause
// Where log lines go: stderr, in journald's form when systemd reads it.
#pragma once

#include <string>

namespace librettos {

// Makes a new default logger, also in a forked child, where the parent's may hold a lock. `role` opens each line when
// not empty.
void set_up_logging(std::string const& level, std::string const& role);

}  // namespace librettos
