// SPDX-License-Identifier: BSD-2-Clause
// The commands of librettosctl. Each asks the server (or reads the statistics file), prints, and returns the exit
// status; each throws Unreachable when the server gives no answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

#include "daemon/ctl/control_client.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/text.hpp"

namespace librettos::ctl {

enum ExitStatus : int { exit_fine = 0, exit_refused = 1, exit_usage = 2, exit_unreachable = 3, exit_unhealthy = 4 };

// What the global options chose.
struct Session {
    std::string socket_path;
    std::string stats_path;
    std::chrono::milliseconds timeout{5000};
    bool json = false;
    Style style{false};
    std::ostream* out = nullptr;
    std::ostream* err = nullptr;

    Reply ask(nlohmann::json const& request) const { return ControlClient{socket_path, timeout}.request(request); }
};

struct PortFilter {
    std::string guest;     // empty: all
    std::string protocol;  // empty: both
};

struct StatsView {
    std::string guest;                   // empty: all
    bool all = false;                    // zero counters too
    bool prometheus = false;             // in its text format
    std::optional<double> watch_s = {};  // repeat, with rates
};

struct AttachChoice {
    std::string mode = {};  // empty: as the guest asks
    std::string ipv4 = {};
};

struct SwitchChoice {
    std::string guest = {};
    std::string to = {};  // "direct", "server" or "auto"
    bool dry_run = false;
    std::optional<std::uint16_t> vf = {};
    std::optional<std::uint32_t> timeout_ms = {};
};

struct LimitChange {
    std::optional<std::uint64_t> frames_per_s;
    std::optional<std::uint64_t> bits_per_s;
    std::optional<std::uint64_t> ports;
};

int show_status(Session const& session);
int list_guests(Session const& session);
int show_guest(Session const& session, std::string const& guest);
int list_ports(Session const& session, PortFilter const& filter);
int who_owns_port(Session const& session, PortFilter const& filter, std::uint16_t port);
int why_port(Session const& session, PortFilter const& filter, std::uint16_t port);
int show_stats(Session const& session, StatsView const& view);
int limit_guest(Session const& session, std::string const& guest, LimitChange const& change);
int attach_guest(Session const& session, std::string const& guest, AttachChoice const& choice);
// Waits for the outcome, unless it is for the server to choose; exit_refused when the guest is not where it was to go.
int switch_guest(Session const& session, SwitchChoice const& choice);
int list_vfs(Session const& session);
// Every check of this machine's start, by the configuration; asks no server. exit_unhealthy when one is bad.
int show_doctor(Session const& session, std::string const& config_path);
int detach_guest(Session const& session, std::string const& guest, std::string const& reason);

// With --json the reply as it came, else a refusal, or the result by `print`. Returns exit_fine or exit_refused.
int report(Session const& session, Reply const& reply, std::function<void(Json const& result)> const& print);
// A line of a list of particulars; none when there is no text.
void print_particular(Session const& session, char const* label, std::string const& text);
// Prints a refusal: message and hint, or with --json the reply as it came. Returns exit_refused.
int report_refusal(Session const& session, Reply const& reply);
// Prints the reason; with --json an error object of api.md with the code "unreachable". Returns exit_unreachable.
int report_unreachable(Session const& session, Unreachable const& error);

}  // namespace librettos::ctl
