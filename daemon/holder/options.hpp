// SPDX-License-Identifier: BSD-2-Clause
// The command line of librettos-netserver.
#pragma once

#include <optional>
#include <string>

#include "daemon/config/config.hpp"

namespace librettos {

struct Options {
    std::string config_path = default_config_path;
    std::string log_level;    // empty: the configuration's
    std::string engine_path;  // empty: the installed one
    bool check_config = false;
};

// The options, or the exit status when nothing is left to do (--help, --version, an error).
struct CommandLine {
    Options options;
    std::optional<int> exit_status;
};
CommandLine parse_command_line(int argc, char const* const* argv);

}  // namespace librettos
