// SPDX-License-Identifier: BSD-2-Clause
// librettosctl: the operator's tool. Options in, one command run, its exit status out.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <iostream>
#include <sstream>

#include <CLI/CLI.hpp>

#include "daemon/api/stats_file.hpp"
#include "daemon/config/config.hpp"
#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/completion.hpp"

namespace librettos::ctl {

namespace {

// What was typed, filled in by CLI11.
struct Arguments {
    std::string socket = Config::Paths{}.api_socket;
    std::string stats_file = stats_default_path;
    double timeout_s = 5;
    bool json = false;
    std::string guest;
    PortFilter filter;
    std::uint16_t port = 0;
    StatsView view;
    double watch_s = 1;
    CLI::Option* watch = nullptr;
    std::string frames_per_s;
    std::string bits_per_s;
    std::string ports;
    std::string reason;
    bool dedicated = false;
    bool shared = false;
    std::string ip;
    std::string config = default_config_path;
    SwitchChoice vf_switch;
};

using Command = std::function<int(Session const&)>;

std::string check_quantity(std::string const& text) {
    return parse_quantity(text) ? std::string{}
                                : "'" + text + "' is no count; write 250000, 250k, 10M or 1.5G; 0: no limit";
}

std::string check_port_count(std::string const& text) {
    auto const value = parse_quantity(text);
    return value && *value <= 131072 ? std::string{} : "'" + text + "' is no count of ports; 0 (no limit) .. 131072";
}

// A number of what the option's help names.
template <typename Number>
CLI::Validator within(Number least, Number most) {
    return CLI::Validator(
        [=](std::string const& text) {
            Number value{};
            if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most)
                return std::string{};
            std::ostringstream range;
            range << least << " .. " << most;
            return "'" + text + "' is not within " + range.str();
        },
        "");
}

std::string check_protocol(std::string const& text) {
    return text == "tcp" || text == "udp" ? std::string{} : "'" + text + "' is neither tcp nor udp";
}

std::string check_path(std::string const& text) {
    return text == "direct" || text == "server" || text == "auto" ? std::string{}
                                                                  : "'" + text + "' is none of direct, server, auto";
}

std::optional<std::uint64_t> quantity_option(std::string const& text) {
    return text.empty() ? std::nullopt : parse_quantity(text);
}

void add_globals(CLI::App& app, Arguments& arguments) {
    app.set_version_flag("--version", "librettosctl " LIBRETTOS_VERSION);
    app.add_flag("--json", arguments.json, "Print JSON, schema 1, instead of text for people");
    app.add_option("--socket", arguments.socket, "The server's control socket")
        ->type_name("PATH")
        ->capture_default_str();
    app.add_option("--stats-file", arguments.stats_file, "The server's statistics file")
        ->type_name("PATH")
        ->capture_default_str();
    app.add_option("--timeout", arguments.timeout_s, "Wait this long for an answer")
        ->type_name("SECONDS")
        ->check(within(0.01, 3600.0))
        ->capture_default_str();
    app.footer(
        "Exit status: 0 fine; 1 refused, or nothing found; 2 usage; 3 the server or its statistics cannot be "
        "reached;\n4 `status`: the server is unhealthy, `doctor`: something is missing. See librettosctl(1).");
}

CLI::App* add_command(CLI::App& app, Command& chosen, char const* name, char const* description, Command run) {
    auto* command = app.add_subcommand(name, description);
    command->fallthrough();
    command->callback([&chosen, run = std::move(run)] {
        if (!chosen)
            chosen = run;
    });
    return command;
}

void add_guest_commands(CLI::App& app, Arguments& a, Command& chosen) {
    add_command(app, chosen, "guests", "List the guests; those that are not connected come first", list_guests);
    add_command(app, chosen, "guest", "Everything about one guest",
                [&](auto& session) { return show_guest(session, a.guest); })
        ->add_option("GUEST", a.guest, "Name or domain id of the guest")
        ->required();

    auto* limit =
        add_command(app, chosen, "limit", "Change a guest's limits, at once; 0 takes a limit away", [&](auto& s) {
            return limit_guest(
                s, a.guest, {quantity_option(a.frames_per_s), quantity_option(a.bits_per_s), quantity_option(a.ports)});
        });
    limit->add_option("GUEST", a.guest, "Name or domain id of the guest")->required();
    auto* limits = limit->add_option_group("limits", "At least one");
    limits->add_option("--frames-per-s", a.frames_per_s, "Frames that it may send per second")
        ->type_name("N")
        ->check(CLI::Validator(check_quantity, ""));
    limits->add_option("--bits-per-s", a.bits_per_s, "Bits that it may send per second: 10M, 1.5G")
        ->type_name("N")
        ->check(CLI::Validator(check_quantity, ""));
    limits->add_option("--ports", a.ports, "Ports that it may own, TCP and UDP together")
        ->type_name("N")
        ->check(CLI::Validator(check_port_count, ""));
    limits->require_option(1, 3);

    auto* attach =
        add_command(app, chosen, "attach",
                    "Give a domain its device (Xen); let a guest that was detached connect again", [&](auto& s) {
                        return attach_guest(s, a.guest,
                                            {a.dedicated || !a.ip.empty() ? "dedicated"
                                             : a.shared                   ? "shared"
                                                                          : "",
                                             a.ip});
                    });
    attach->add_option("GUEST", a.guest, "Name or domain id")->required();
    attach->add_flag("--dedicated", a.dedicated, "With an IP address of its own, whatever it asks for");
    attach->add_flag("--shared", a.shared, "With the shared address, whatever it asks for")->excludes("--dedicated");
    attach->add_option("--ip", a.ip, "With this one of dedicated.ipv4")
        ->type_name("ADDRESS")
        ->check(CLI::ValidIPV4)
        ->excludes("--shared");
    auto* detach = add_command(app, chosen, "detach", "Disconnect a guest from the server",
                               [&](auto& session) { return detach_guest(session, a.guest, a.reason); });
    detach->add_option("GUEST", a.guest, "Name or domain id of the guest")->required();
    detach->add_option("--reason", a.reason, "Told to the guest and shown by `guests`")->type_name("TEXT");
}

void add_vf_commands(CLI::App& app, Arguments& a, Command& chosen) {
    auto* to = add_command(app, chosen, "switch", "Move a guest to a VF of the NIC, or back to the server",
                           [&](auto& session) { return switch_guest(session, a.vf_switch); });
    to->add_option("GUEST", a.vf_switch.guest, "Name or domain id of a guest with an address of its own")->required();
    to->add_option("PATH", a.vf_switch.to, "direct: to a VF; server: back; auto: by its load")
        ->required()
        ->type_name("direct|server|auto")
        ->check(CLI::Validator(check_path, ""));
    to->add_flag("--dry-run", a.vf_switch.dry_run, "Only check, and say which steps it would take");
    to->add_option("--vf", a.vf_switch.vf, "This VF, and not the first that is free")
        ->type_name("N")
        ->check(within(0, 65535));
    to->add_option("--timeout", a.vf_switch.timeout_ms, "How long the guest may take for each step, 2000 unless given")
        ->type_name("MS")
        ->check(within(1, 60000));
    to->parse_complete_callback([&a] {
        if (a.vf_switch.to == "auto" && a.vf_switch.vf)
            throw CLI::ValidationError("--vf", "auto chooses the VF by itself");
    });
    add_command(app, chosen, "vf", "The VFs, and whose they are", list_vfs);
}

void add_port_commands(CLI::App& app, Arguments& a, Command& chosen) {
    auto* ports = app.add_subcommand("ports", "Who owns which port of the shared address");
    ports->fallthrough();
    ports->require_subcommand(0, 1);
    ports->add_option("--guest", a.filter.guest, "Only ports of this guest (name or domain id)")->type_name("NAME");
    ports->add_option("--protocol", a.filter.protocol, "Only this protocol")
        ->type_name("tcp|udp")
        ->check(CLI::Validator(check_protocol, ""));
    auto const port_option = [&](CLI::App* command) {
        command->add_option("PORT", a.port, "Port number")
            ->required()
            ->type_name("(1 .. 65535)")
            ->check(within(1, 65535));
    };
    port_option(add_command(*ports, chosen, "who", "Who owns PORT; exit status 1 when nobody does",
                            [&](auto& session) { return who_owns_port(session, a.filter, a.port); }));
    port_option(add_command(*ports, chosen, "why", "Why PORT is owned, free or held back",
                            [&](auto& session) { return why_port(session, a.filter, a.port); }));
    // CLI11 runs the innermost callback first.
    ports->callback([&] {
        if (!chosen)
            chosen = [&](auto& session) { return list_ports(session, a.filter); };
    });
}

void add_stats_command(CLI::App& app, Arguments& a, Command& chosen) {
    auto* stats =
        add_command(app, chosen, "stats", "Counters, read from memory: works while the engine is dead", [&](auto& s) {
            if (a.watch->count() > 0)
                a.view.watch_s = a.watch_s;
            return show_stats(s, a.view);
        });
    stats->add_option("--guest", a.view.guest, "Only this guest (name or domain id), or \"wire\"")->type_name("NAME");
    stats->add_flag("--all", a.view.all, "Counters that are zero, too");
    a.watch = stats->add_option("--watch", a.watch_s, "Again every SECONDS, with rates, until interrupted")
                  ->type_name("[SECONDS]")
                  ->expected(0, 1)
                  ->capture_default_str()
                  ->check(within(0.05, 86400.0));
    stats->add_flag("--prometheus", a.view.prometheus, "All counters in Prometheus' text format")
        ->excludes(a.watch)
        ->excludes(app.get_option("--json"));
}

int print_completion(Session const& session) {
    *session.out << bash_completion();
    return exit_fine;
}

Session make_session(Arguments const& a) {
    return {a.socket,
            a.stats_file,
            std::chrono::milliseconds{static_cast<long long>(a.timeout_s * 1000)},
            a.json,
            Style::for_descriptor(STDOUT_FILENO),
            &std::cout,
            &std::cerr};
}

int run(int argc, char** argv) {
    CLI::App app{"Looks at and changes a running librettos-netserver.", "librettosctl"};
    Arguments arguments;
    Command chosen;
    add_globals(app, arguments);
    app.require_subcommand(1);
    app.failure_message([](CLI::App const* at, CLI::Error const& error) {
        auto const words = at->remaining();
        bool const unknown = at->get_subcommands().empty() && !words.empty();
        return "librettosctl: " +
               (unknown ? "there is no command '" + words.front() + "'" : std::string{error.what()}) +
               "\n  librettosctl --help and librettosctl COMMAND --help explain\n";
    });
    add_command(app, chosen, "status", "Is all well, and if not, what to do", show_status);
    add_command(app, chosen, "doctor", "Whether this machine has what the server needs; works without a server",
                [&](auto& session) { return show_doctor(session, arguments.config); })
        ->add_option("--config", arguments.config, "The server's configuration")
        ->type_name("PATH")
        ->capture_default_str();
    add_guest_commands(app, arguments, chosen);
    add_vf_commands(app, arguments, chosen);
    add_port_commands(app, arguments, chosen);
    add_stats_command(app, arguments, chosen);
    auto* completion = app.add_subcommand("completion", "Print a shell completion script");
    completion->require_subcommand(1);
    add_command(*completion, chosen, "bash", "For bash: source <(librettosctl completion bash)", print_completion);
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& error) {
        return app.exit(error) == 0 ? exit_fine : exit_usage;
    }
    auto const session = make_session(arguments);
    try {
        int const status = chosen(session);
        if (!std::cout.flush() && errno != EPIPE) {  // a reader that has seen enough is none of our troubles
            std::cerr << "librettosctl: cannot write the output: " << std::strerror(errno) << "\n";
            return exit_refused;
        }
        return status;
    } catch (Unreachable const& error) {
        return report_unreachable(session, error);
    } catch (std::exception const& error) {  // a result that does not have the shape of the schema
        return report_unreachable(
            session, Unreachable(std::string{"the server gave no proper answer: "} + error.what(),
                                 "librettosctl and librettos-netserver should come from the same release"));
    }
}

}  // namespace

}  // namespace librettos::ctl

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // a closed pipe ends the output, not the program half-way through a table
    return librettos::ctl::run(argc, argv);
}
