// SPDX-License-Identifier: BSD-2-Clause
// librettos-hypervisord: the local stand-in for the hypervisor. Options, log, run.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <CLI/CLI.hpp>
#include <csignal>

#include <cstdio>
#include <exception>

#include "drivers/hypervisor/local/hypervisord.hpp"

namespace {

using namespace librettos;

constexpr int usage_error = 2;

struct Options {
    std::string socket = LVIF_HV_DEFAULT_SOCKET;
    std::string group;
    std::uint32_t quarantine_s = 60;
    std::uint32_t ports_per_guest = 4096;
    std::uint32_t domains_max = 1024;
    std::string log_level = "info";
};

void declare_options(CLI::App& app, Options& options) {
    app.set_version_flag("--version", "librettos-hypervisord " LIBRETTOS_VERSION);
    app.add_option("--socket", options.socket, "Where clients connect")->capture_default_str();
    app.add_option("--group", options.group,
                   "Members of this group may connect as guests (default: root and own user only)");
    app.add_option("--quarantine", options.quarantine_s, "Seconds for which a gone guest's ports are kept for its name")
        ->check(CLI::Range(0, 86400))
        ->capture_default_str();
    app.add_option("--ports-per-guest", options.ports_per_guest,
                   "Most ports that a guest may own, TCP and UDP together")
        ->check(CLI::Range(0, 131072))
        ->capture_default_str();
    app.add_option("--max-domains", options.domains_max, "Most guests at a time")
        ->check(CLI::Range(1, 16384))
        ->capture_default_str();
    app.add_option("--log-level", options.log_level, "What is logged to standard error")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical", "off"}))
        ->transform([](std::string level) { return level == "warn" ? "warning" : level; })
        ->capture_default_str();
}

// As many descriptors as we may have: each guest's connection, regions and channels need some.
std::uint32_t raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)::setrlimit(RLIMIT_NOFILE, &limit);  // less is enough for fewer guests
    }
    (void)::getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<std::uint32_t>(std::min<rlim_t>(limit.rlim_cur, 1u << 20));
}

Hypervisord::Settings settings_from(Options const& options) {
    std::uint32_t const own = 64;
    std::uint32_t const descriptors = raise_descriptor_limit();
    std::uint32_t const connections = options.domains_max + static_cast<std::uint32_t>(Hypervisord::greeting_max) + 16;
    if (descriptors < own + 2 * connections + 64)
        throw std::runtime_error{"the limit of " + std::to_string(descriptors) +
                                 " open files is too low for --max-domains " + std::to_string(options.domains_max) +
                                 "; raise it (ulimit -Hn, LimitNOFILE=) or allow fewer guests"};
    Hypervisord::Settings settings;
    settings.socket = options.socket;
    settings.group = options.group;
    settings.connections_max = connections;
    settings.machine.domains_max = options.domains_max;
    settings.machine.descriptors_max = descriptors - own - 2 * connections;
    settings.machine.ports.ports_per_domain = options.ports_per_guest;
    settings.machine.ports.quarantine = std::chrono::seconds{options.quarantine_s};
    return settings;
}

void block_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Local stand-in for the hypervisor: domains, store, shared memory, event channels, portmap"};
    Options options;
    app.name("librettos-hypervisord");
    declare_options(app, options);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return app.exit(error) == 0 ? 0 : usage_error;
    }
    try {
        spdlog::set_default_logger(spdlog::stderr_logger_st("hypervisord"));
        spdlog::set_level(spdlog::level::from_str(options.log_level));
        block_signals();
        Hypervisord hypervisord{settings_from(options)};
        hypervisord.run();
        return 0;
    } catch (std::exception const& error) {
        std::fprintf(stderr, "librettos-hypervisord: %s\n", error.what());
        return 1;
    }
}
