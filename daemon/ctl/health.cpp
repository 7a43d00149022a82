// SPDX-License-Identifier: BSD-2-Clause
// The judgement behind `librettosctl status`.
#include "daemon/ctl/health.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/text.hpp"

namespace librettos::ctl {

namespace {

// Drops that mean trouble when they grow. The others are the weather of a network; `librettosctl stats` shows them.
struct DropAdvice {
    std::string_view counter;
    bool unhealthy;
    std::string_view action;
};
constexpr std::array drop_advice{
    DropAdvice{"drop_no_memory", true, "raise port.buffers in the configuration and restart the service"},
    DropAdvice{"drop_wire_missed", false,
               "frames come faster than they are taken: look at the processors' load; raise port.descriptors or "
               "data.threads"},
    DropAdvice{"drop_wire_merged", true,
               "ip link set PORT gro_max_size 65536 (of a veth: gso_max_size, at its other end); ethtool -K PORT "
               "rx-udp-gro-forwarding off"},
    DropAdvice{"drop_ring_full", false,
               "the guest does not keep up: look at its CPU, give it more queues or a larger ring"},
    DropAdvice{"drop_wire_full", false,
               "the link is full: librettosctl limit GUEST --bits-per-s holds back who fills it"},
    DropAdvice{"drop_handoff_full", false, "a data thread is overloaded: more data.threads, or fewer guests"},
    DropAdvice{"drop_guest_gone", false, "librettosctl guests says which guest is not connected, and why"},
    DropAdvice{"drop_fragment_limit", false, "many fragments arrive: find out who sends packets above the MTU"},
    DropAdvice{"drop_spoofed_mac", false, "the guest sends with a foreign MAC: is it bridging? librettosctl detach"},
    DropAdvice{"drop_spoofed_ip", false, "the guest sends with a foreign address: compare its address with its offer"},
    DropAdvice{"drop_spoofed_arp", false, "the guest claims a foreign address: librettosctl detach holds it off"},
    DropAdvice{"drop_foreign_port", false,
               "the guest sends from ports that it has not claimed: librettosctl ports --guest"},
    DropAdvice{"drop_bad_offload", false,
               "the guest's driver asks for what its frames do not allow: mend or detach it"},
};

constexpr std::uint64_t crash_loop_engines = 4;
constexpr std::uint64_t crash_loop_uptime_s = 60;

void judge_port(Json const& status, std::vector<Finding>& findings) {
    if (link_is_up(status))
        return;
    auto const device = text_field(field(status, "port"), "device");
    findings.push_back({true, "the link of " + device + " is down",
                        "check the cable, the switch port and, for a virtual device, `ip link`"});
}

void judge_engine(Json const& status, std::vector<Finding>& findings) {
    auto const generation = number_field(status, "engine_generation");
    if (generation <= 1)
        return;
    bool const looping = generation >= crash_loop_engines && number_field(status, "uptime_s") < crash_loop_uptime_s;
    findings.push_back({looping, "the engine was restarted " + counted(generation - 1, "time"),
                        "journalctl -u librettos-netserver says why; guests kept their connections"});
}

// What is installed, and what runs.
void judge_release(Json const& status, std::vector<Finding>& findings) {
    auto const engine = field(status, "engine");
    if (engine.is_null())  // an older server
        return;
    auto const installed = field(engine, "installed");
    if (installed.is_null()) {
        findings.push_back({false, text_field(engine, "path") + " is no engine",
                            "install librettos-netserver again: a restart would fail"});
        return;
    }
    auto const when = text_field(installed, "runs");
    if (when == "now")
        return;
    if (when == "given up") {
        findings.push_back({false, "the installed engine was given up: " + text_field(engine, "refused"),
                            "the one before serves, but a restart would run the installed one: install another"});
        return;
    }
    findings.push_back({false,
                        "another engine is installed: version " + text_field(installed, "version") + ", build " +
                            short_build(text_field(installed, "build")),
                        when == "after a reload"
                            ? "systemctl reload librettos-netserver runs it; guests keep their connections"
                            : "it needs a holder of its release: systemctl restart librettos-netserver (guests keep "
                              "their connections)"});
}

// Until it is, data threads have not begun.
bool lacks_hypervisor(Json const& status) {
    auto const connected = field(status, "hypervisor_connected");
    return connected.is_boolean() && !connected.get<bool>();
}

void judge_hypervisor(Json const& status, std::vector<Finding>& findings) {
    if (lacks_hypervisor(status))
        findings.push_back({true, "the hypervisor (" + text_field(status, "hypervisor") + ") cannot be reached",
                            text_field(status, "hypervisor") == "xen"
                                ? "librettosctl doctor; guests stay attached, ports cannot change"
                                : "systemctl status librettos-hypervisord; guests ended with it"});
}

void judge_buffers(Json const& status, std::vector<Finding>& findings) {
    auto const mbufs = field(status, "mbufs");
    auto const total = number_field(mbufs, "total");
    auto const in_use = number_field(mbufs, "in_use");
    auto const lost = number_field(mbufs, "lost");
    if (total > 0 && in_use > total - total / 10)
        findings.push_back({true, grouped(in_use) + " of " + grouped(total) + " buffers are in use",
                            "raise port.buffers in the configuration and restart the service"});
    if (lost > 0)
        findings.push_back({lost > total / 10,
                            counted(lost, "buffer") + " of " + grouped(total) + " lost with dead engines",
                            "systemctl restart librettos-netserver at a quiet moment brings them back"});
}

void judge_guests(Json const& status, std::vector<Finding>& findings) {
    auto const detached = number_field(field(status, "guests"), "detached");
    if (detached > 0)
        findings.push_back({false, counted(detached, "guest") + (detached == 1 ? " is" : " are") + " detached",
                            "librettosctl guests says why"});
}

void judge_threads(StatsPair const& stats, std::vector<Finding>& findings) {
    for (std::size_t t = 0; t < stats.after.threads.size(); ++t)
        if (thread_stands_still(stats, t))
            findings.push_back(
                {true, "data thread " + std::to_string(t) + " stands still",
                 "the watchdog replaces the engine soon; if not: systemctl restart librettos-netserver"});
}

void judge_drops(StatsPair const& stats, std::vector<Finding>& findings) {
    for (auto const& advice : drop_advice) {
        auto const name = std::find(stats.counter_names.begin(), stats.counter_names.end(), advice.counter);
        if (name == stats.counter_names.end())
            continue;
        auto const index = static_cast<std::size_t>(name - stats.counter_names.begin());
        for (auto const& after : stats.after.slots) {
            auto const before = std::find_if(
                stats.before.slots.begin(), stats.before.slots.end(),
                [&](auto const& slot) { return slot.slot == after.slot && slot.generation == after.generation; });
            if (before == stats.before.slots.end() || after.counters[index] <= before->counters[index])
                continue;
            auto const grown = static_cast<double>(after.counters[index] - before->counters[index]);
            findings.push_back(
                {advice.unhealthy,
                 printable(after.name) + ": " + *name + " grows by " + frame_rate(grown / stats.seconds()),
                 std::string{advice.action}});
        }
    }
}

}  // namespace

bool link_is_up(Json const& status) {
    auto const link = field(field(status, "port"), "link");
    return link.is_boolean() ? link.get<bool>() : link.is_string() && link.get<std::string>() == "up";
}

std::string short_build(std::string const& build) {
    constexpr std::size_t digits = 8;
    return build.substr(0, digits);
}

bool process_exists(std::uint64_t pid) {
    auto const id = static_cast<pid_t>(pid);
    return id > 0 && static_cast<std::uint64_t>(id) == pid && (kill(id, 0) == 0 || errno == EPERM);
}

bool thread_stands_still(StatsPair const& stats, std::size_t thread) {
    auto const& before = stats.before.threads.at(thread);
    auto const& after = stats.after.threads.at(thread);
    bool const same_engine = stats.before.engine_generation == stats.after.engine_generation;
    return same_engine && !before.sleeping && !after.sleeping && before.turns == after.turns;
}

std::vector<Finding> diagnose(Json const& status, std::optional<StatsPair> const& stats) {
    std::vector<Finding> findings;
    judge_port(status, findings);
    judge_hypervisor(status, findings);
    if (stats && !lacks_hypervisor(status))
        judge_threads(*stats, findings);
    judge_buffers(status, findings);
    if (stats)
        judge_drops(*stats, findings);
    judge_engine(status, findings);
    judge_release(status, findings);
    judge_guests(status, findings);
    std::stable_partition(findings.begin(), findings.end(), [](Finding const& finding) { return finding.unhealthy; });
    return findings;
}

}  // namespace librettos::ctl
