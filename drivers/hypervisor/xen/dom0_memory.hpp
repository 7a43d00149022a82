// SPDX-License-Identifier: BSD-2-Clause
// Whether dom0 keeps its memory when guests come: without a header of Xen's, and also in a build without Xen.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/start_check.hpp"

namespace librettos {

// Xen's own command line; empty when it cannot be had.
std::string xen_command_line();

// Nothing outside dom0. `root` is where /proc and /etc are.
std::vector<StartCheck> check_dom0_memory(std::string_view command_line, std::filesystem::path const& root = "/");

}  // namespace librettos
