// SPDX-License-Identifier: BSD-2-Clause
// CLI11 set-up; the manual page is librettos-netserver.8.
#include "daemon/holder/options.hpp"

#include <CLI/CLI.hpp>

namespace librettos {

CommandLine parse_command_line(int argc, char const* const* argv) {
    constexpr int usage_error = 2;
    CommandLine line;
    CLI::App app{"Network server for library operating systems: many guests, one NIC port, one IP address."};
    app.name("librettos-netserver");
    app.footer("See librettos-netserver(8) and librettos-netserver.toml(5).");
    app.set_version_flag("-V,--version", "librettos-netserver " LIBRETTOS_VERSION);
    app.add_option("-c,--config", line.options.config_path,
                   "Configuration file; - reads standard input, with --check-config")
        ->capture_default_str();
    app.add_flag("--check-config", line.options.check_config,
                 "Check the configuration file, say what is wrong, and end");
    app.add_option("--engine", line.options.engine_path,
                   "Shared object with the engine; default: ../lib/librettos/librettos-engine.so beside this program");
    app.add_option("--log-level", line.options.log_level, "Overrides log.level of the configuration")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical"}));
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        line.exit_status = app.exit(error) == 0 ? 0 : usage_error;
    }
    return line;
}

}  // namespace librettos
