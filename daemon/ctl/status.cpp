// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl status`: one line of health, what is wrong, then the particulars.
#include <poll.h>

#include <array>
#include <cstdio>

#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/health.hpp"

namespace librettos::ctl {

namespace {

constexpr int sample_ms = 200;
constexpr int longest_sample_ms = 2000;

bool any_thread_stands_still(StatsPair const& stats) {
    for (std::size_t t = 0; t < stats.after.threads.size(); ++t)
        if (thread_stands_still(stats, t))
            return true;
    return false;
}

// Two readings; further apart when a thread seems to stand still, which on a loaded machine may be the scheduler's
// doing.
std::optional<StatsPair> sample(std::string const& path) {
    try {
        StatsReader reader{path};
        StatsPair pair{reader.read(), {}, {}};
        for (int waited_ms = 0; waited_ms == 0 || (waited_ms < longest_sample_ms && any_thread_stands_still(pair));
             waited_ms += sample_ms) {
            poll(nullptr, 0, sample_ms);
            pair.after = reader.read();
        }
        if (pair.before.threads.size() != pair.after.threads.size())
            return std::nullopt;  // the holder was restarted in between
        pair.counter_names = reader.counter_names();
        return pair;
    } catch (std::exception const&) {
        return std::nullopt;  // `stats` says why; the server's own answer is enough here
    }
}

std::string device_name(std::string const& device) {
    return printable(device.substr(0, device.find(',')));
}

std::string tenths(Json const& value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", value.is_number() ? value.get<double>() : 0.0);
    return text.data();
}

std::string headline(Json const& status) {
    auto const connected = number_field(field(status, "guests"), "connected");
    return "serving " + counted(connected, "guest") + " on " +
           device_name(text_field(field(status, "port"), "device")) +
           (link_is_up(status) ? " (link up)" : " (link down)") + ", up " + duration(number_field(status, "uptime_s")) +
           ", engine " + std::to_string(number_field(status, "engine_generation"));
}

void print_findings(Session const& session, std::vector<Finding> const& findings) {
    for (auto const& finding : findings) {
        auto const tone = finding.unhealthy ? Tone::bad : Tone::warning;
        *session.out << session.style.paint(tone,
                                            (finding.unhealthy ? "PROBLEM  " : "note     ") + printable(finding.what))
                     << "\n";
        if (!finding.action.empty())
            *session.out << "         " << finding.action << "\n";
    }
}

std::string port_line(Json const& port) {
    auto const speed = number_field(port, "speed_mbps");
    return text_field(port, "device") + ", driver " + text_field(port, "driver") + ", MAC " + text_field(port, "mac") +
           ", " + (speed == 0 ? "speed unknown" : bit_rate(static_cast<double>(speed) * 1e6)) + ", MTU " +
           std::to_string(number_field(port, "mtu_bytes")) + ", " + counted(number_field(port, "queues"), "queue");
}

std::string address_line(Json const& network) {
    std::string text;
    for (auto const* key : {"ipv4", "ipv6", "mac"}) {
        auto const value = text_field(network, key);
        if (!value.empty())
            text += (text.empty() ? "" : ", ") + value;
    }
    for (auto const* key : {"gateway4", "gateway6"}) {
        auto const value = text_field(network, key);
        if (!value.empty())
            text += ", gateway " + value;
    }
    auto const vlan = number_field(network, "vlan");
    return vlan == 0 ? text : text + ", VLAN " + std::to_string(vlan);
}

std::string release(Json const& status) {
    auto const version = text_field(status, "version");
    auto const build = text_field(field(status, "engine"), "build");
    auto const holder = text_field(status, "holder_version");
    return "version " + version + (build.empty() ? "" : ", build " + short_build(build)) +
           (holder.empty() || holder == version ? "" : ", holder of version " + holder);
}

void print_particulars(Session const& session, Json const& status) {
    auto const guests = field(status, "guests");
    auto const ports = field(status, "ports");
    auto const mbufs = field(status, "mbufs");
    auto const readopted = field(status, "readopted");
    auto const resources = field(status, "resources");
    auto const number = [](Json const& object, char const* key) { return grouped(number_field(object, key)); };
    auto const count = [](Json const& object, char const* key, char const* one) {
        return counted(number_field(object, key), one);
    };
    auto const line = [&](char const* label, std::string const& text) { print_particular(session, label, text); };
    line("port        ", port_line(field(status, "port")));
    line("offloads    ", joined_field(field(status, "port"), "offloads"));
    line("address     ", address_line(field(status, "network")));
    line("guests      ", number(guests, "connected") + " connected, " + number(guests, "connecting") + " connecting, " +
                             number(guests, "detached") + " detached");
    line("ports       ", number(ports, "tcp_bound") + " tcp, " + number(ports, "udp_bound") + " udp, " +
                             number(ports, "quarantined") + " quarantined");
    if (auto const direct = field(status, "direct"); number_field(direct, "vfs") > 0)
        line("VFs         ", number(direct, "vfs") + " (" + text_field(direct, "steering") + "), " +
                                 number(direct, "in_use") + " in use, " + count(direct, "guests", "guest") +
                                 " direct, " + number(field(direct, "auto"), "guests") + " moved by load");
    if (auto const last = field(field(field(status, "direct"), "auto"), "last"); !last.is_null())
        line("last move   ", text_field(last, "guest") +
                                 (text_field(last, "to") == "direct" ? " to a VF, " : " to the server, ") +
                                 duration(number_field(last, "age_s")) + " ago: " + text_field(last, "reason"));
    auto const authority = text_field(status, "portmap_authority");
    line("hypervisor  ",
         text_field(status, "hypervisor") + (authority.empty() ? "" : ", portmap kept by the " + authority));
    line("buffers     ",
         number(mbufs, "in_use") + " of " + number(mbufs, "total") + " in use, " + number(mbufs, "lost") + " lost");
    line("server      ", release(status) + ", holder pid " + std::to_string(number_field(status, "holder_pid")) +
                             ", engine pid " + std::to_string(number_field(status, "pid")) + ", " +
                             count(status, "data_threads", "data thread"));
    if (number_field(status, "wake_up_us") > 0)
        line("waking      ", "takes " + number(status, "wake_up_us") + " us here; data threads look on for up to " +
                                 number(status, "poll_us") + " us before they sleep");
    if (number_field(readopted, "guests") > 0)
        line("readopted   ", count(readopted, "guests", "guest") + " in " + tenths(field(readopted, "ms")) + " ms");
    line("resources   ", count(resources, "fds", "descriptor") + ", " + count(resources, "mappings", "mapping") + ", " +
                             count(resources, "watches", "watch"));
}

// What can still be said without the server: added to the reason why it cannot be reached.
std::string last_known(std::string const& stats_path) {
    try {
        auto const reading = StatsReader{stats_path}.read();
        auto const state = [](std::uint64_t pid) { return process_exists(pid) ? " runs" : " does not run"; };
        return "; by the statistics file engine " + std::to_string(reading.engine_generation) + " (pid " +
               std::to_string(reading.engine_pid) + ")" + state(reading.engine_pid) + ", its holder (pid " +
               std::to_string(reading.holder_pid) + ")" + state(reading.holder_pid);
    } catch (std::exception const&) {
        return {};
    }
}

Reply ask_status(Session const& session) {
    try {
        return session.ask({{"command", "status"}});
    } catch (Unreachable const& error) {
        throw Unreachable(error.what() + last_known(session.stats_path), error.hint());
    }
}

}  // namespace

int show_status(Session const& session) {
    auto const reply = ask_status(session);
    if (!reply.ok)
        return report_refusal(session, reply);
    auto const findings = diagnose(reply.result, sample(session.stats_path));
    bool const unhealthy = !findings.empty() && findings.front().unhealthy;
    if (session.json) {
        *session.out << reply.line << "\n";
    } else {
        *session.out << session.style.paint(unhealthy ? Tone::bad : Tone::good, headline(reply.result)) << "\n";
        print_findings(session, findings);
        *session.out << "\n";
        print_particulars(session, reply.result);
    }
    return unhealthy ? exit_unhealthy : exit_fine;
}

}  // namespace librettos::ctl
