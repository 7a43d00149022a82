// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/command_line.hpp"

#include <librettos/frame_ring.h>
#include <librettos/handshake.h>
#include <librettos/poll_window.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "guest-frontend/linux/lvif.hpp"

namespace librettos::guest {

namespace {

bool is_name_character(char character) {
    return std::isalnum(static_cast<unsigned char>(character)) != 0 || character == '.' || character == '_' ||
           character == '-';
}

std::string check_name(std::string const& name) {
    bool const right = !name.empty() && name.size() <= LVIF_HV_NAME_MAX &&
                       std::all_of(name.begin(), name.end(), is_name_character) &&
                       std::isalnum(static_cast<unsigned char>(name.front())) != 0;
    return right ? "" : "a name is 1 to 63 of A-Z a-z 0-9 . _ - and begins with a letter or digit";
}

std::string check_ring(std::string const& text) {
    std::uint32_t bytes = 0;
    bool const right = CLI::detail::lexical_cast(text, bytes) && std::has_single_bit(bytes) &&
                       bytes >= LVIF_RING_MIN_CAPACITY && bytes <= LVIF_RING_MAX_CAPACITY;
    return right ? "" : "a ring has a power of two of bytes, 65536 to 16777216";
}

std::string check_lease(std::string const& text) {
    unsigned ports = 0;
    bool const right = CLI::detail::lexical_cast(text, ports) && ports >= 2 && ports <= 16384 && ports % 2 == 0;
    return right ? "" : "an even number of ports, 2 to 16384";
}

std::string name_from(std::string const& command) {
    return safe_name(std::filesystem::path(command).filename().string());
}

void describe_run(CLI::App& run, GuestOptions& options) {
    run.add_option("--hypervisor", options.hypervisor,
                   "local: librettos-hypervisord; xen: this Linux is a domain on Xen; auto: xen where there is no "
                   "librettos-hypervisord, but Xen")
        ->check(CLI::IsMember({"auto", "local", "xen"}))
        ->capture_default_str();
    run.add_option("--name", options.name, "Name of the guest (default: that of COMMAND; on Xen the domain's own)")
        ->check(check_name, "NAME");
    run.add_option("--netns", options.network_namespace,
                   "Network namespace, as of ip-netns(8); made, and removed afterwards, if there is none of that name "
                   "(default: librettos-NAME)")
        ->check(check_name, "NAME");
    run.add_flag("--dedicated", options.dedicated, "Ask for an address of its own instead of the shared one");
    run.add_option("--vf", options.vf,
                   "Interface that a guest with --dedicated may be switched to: its name, auto (an unused one with the "
                   "guest's MAC) or none")
        ->check(check_name, "NAME")
        ->capture_default_str();
    run.add_option("--interface", options.interface, "Name of the interface in the namespace")->capture_default_str();
    run.add_option("--queues", options.queues, "Queue pairs, one thread each; the server may allow fewer")
        ->check(CLI::Range(1u, LVIF_MAX_QUEUES))
        ->capture_default_str();
    run.add_option("--ring-bytes", options.ring_bytes, "Bytes of each ring, a power of two (default: 262144)")
        ->check(check_ring, "RING");
    run.add_option("--poll-us", options.poll_us,
                   "Microseconds for which a thread without frames looks on at most before it sleeps; 0: never")
        ->check(CLI::Range(0u, LVIF_POLL_MAX_US))
        ->capture_default_str();
    run.add_option("--lease-ports", options.lease_ports, "Ports leased at a time for outgoing connections")
        ->check(check_lease, "PORTS")
        ->capture_default_str();
    run.add_option(
        "--hypervisor-socket", options.hypervisor_socket,
        "Socket of librettos-hypervisord (default: $LIBRETTOS_HYPERVISOR_SOCKET, else " LVIF_HV_DEFAULT_SOCKET ")");
    run.add_option("--wait", options.wait_s,
                   "Give up when no server has taken the guest after so many seconds (0: wait for ever)")
        ->capture_default_str();
    run.add_option("--log-level", options.log_level, "What to print on standard error")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
        ->transform([](std::string level) { return level == "warn" ? "warning" : level; })
        ->capture_default_str();
    run.add_option("COMMAND", options.command, "Program to run in the guest, with its arguments")->required();
    run.positionals_at_end();
}

}  // namespace

std::string safe_name(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](char character) { return !is_name_character(character); }, '-');
    return name.substr(0, LVIF_HV_NAME_MAX);
}

GuestOptions parse_command_line(int argc, char** argv) {
    GuestOptions options;
    CLI::App app("Gives a program a network interface of the network server");
    app.set_version_flag("--version", "librettos-guest " LIBRETTOS_VERSION);
    app.require_subcommand(1);
    CLI::App* const run = app.add_subcommand(
        "run", "Run COMMAND in a guest of its own: librettos-guest run [OPTIONS] -- COMMAND ARGS...");
    describe_run(*run, options);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        if (app.get_subcommands().empty() && error.get_exit_code() != 0) {
            std::cerr << "librettos-guest: the command that it has is run: librettos-guest run [OPTIONS] -- COMMAND\n";
            std::exit(2);
        }
        std::exit(app.exit(error) == 0 ? 0 : 2);
    }
    if (!options.dedicated && run->count("--vf") != 0 && options.vf != "none") {
        std::cerr << "librettos-guest: --vf needs --dedicated: who shares an address has no VF of its own\n";
        std::exit(2);
    }
    if (options.name.empty()) {
        options.name = name_from(options.command.front());
    }
    if (std::string const wrong = check_name(options.name); !wrong.empty()) {
        std::cerr << "librettos-guest: no guest name can be made of '" << options.command.front() << "': use --name\n";
        std::exit(2);
    }
    return options;
}

}  // namespace librettos::guest
