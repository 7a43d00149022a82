// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl switch` and `vf`: guests between the server and their VFs.
#include <poll.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"

namespace librettos::ctl {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int look_every_ms = 20;

std::string milliseconds_text(std::uint64_t us) {
    auto const thousandths = std::to_string(us % 1000);
    return std::to_string(us / 1000) + "." + std::string(3 - thousandths.size(), '0') + thousandths + " ms";
}

std::string place(std::string const& to) {
    return to == "direct" ? "its VF" : "the server";
}

// The server's word on the guest; nothing while no server answers: the next engine goes on with the switch.
std::optional<Reply> ask_guest(Session const& session, std::string const& guest) {
    try {
        return session.ask({{"command", "guest"}, {"guest", guest}});
    } catch (Unreachable const&) {
        return std::nullopt;
    }
}

bool is_over(Json const& guest, std::uint64_t serial) {
    auto const last = field(field(guest, "switch"), "last");
    return text_field(guest, "path") != "switching" && (last.is_null() || number_field(last, "serial") >= serial);
}

// The reply about the guest once the switch is over. A refusal: it is gone, or the server is not ready in time.
Reply wait_for_outcome(Session const& session, std::string const& guest, std::uint64_t serial, milliseconds limit) {
    auto const deadline = Clock::now() + limit;
    while (true) {
        auto reply = ask_guest(session, guest);
        bool const late = Clock::now() >= deadline;
        bool const starting = reply && !reply->ok && (reply->code == "busy" || reply->code == "not-found");
        bool const over = reply && (reply->ok ? is_over(reply->result, serial) : !starting);
        if (over || (late && reply && !reply->ok))
            return *reply;
        if (late)
            throw Unreachable("the switch of " + guest + " is not over after " + std::to_string(limit.count()) + " ms",
                              "librettosctl guest " + guest);
        poll(nullptr, 0, look_every_ms);
    }
}

void print_steps(Session const& session, Json const& last) {
    for (auto const& step : field(last, "steps")) {
        auto name = printable(text_field(step, "step"));
        name.resize(std::max<std::size_t>(name.size(), 14), ' ');
        *session.out << "  " << session.style.paint(Tone::dim, name) << milliseconds_text(number_field(step, "took_us"))
                     << "\n";
    }
}

void print_automatic(Session const& session, SwitchChoice const& choice, Json const& answer) {
    *session.out << printable(choice.guest)
                 << (flag_field(answer, "already") ? " is moved by its load already\n"
                     : choice.dry_run              ? " would be moved by its load\n"
                                                   : " is moved by its load from now on\n");
}

// Reached or not, and why not.
int print_outcome(Session const& session, SwitchChoice const& choice, Json const& guest) {
    auto const last = field(field(guest, "switch"), "last");
    bool const there = text_field(guest, "path") == choice.to;
    auto const reason = text_field(last, "reason");
    std::string line = printable(choice.guest) + (there ? " uses " : " does not use ") + place(choice.to);
    if (!last.is_null())
        line += " after " + milliseconds_text(number_field(last, "took_us"));
    if (choice.to == "direct" && there)
        line += "; " + counted(number_field(last, "frames_drained"), "frame") + " drained";
    if (!there)
        line += ": " + (reason.empty() ? "the server lost track of it" : printable(reason));
    *session.out << session.style.paint(there ? Tone::good : Tone::bad, line) << "\n";
    print_steps(session, last);
    return there ? exit_fine : exit_refused;
}

void print_plan(Session const& session, SwitchChoice const& choice, Json const& plan) {
    *session.out << printable(choice.guest) << " would use " << place(choice.to) << " (VF " << number_field(plan, "vf")
                 << "): " << printable(joined_field(plan, "steps")) << "\n";
}

// Nothing is on its way.
void print_answer(Session const& session, SwitchChoice const& choice, Json const& answer) {
    if (choice.to == "auto")
        print_automatic(session, choice, answer);
    else if (flag_field(answer, "already"))
        *session.out << printable(choice.guest) << " uses " << place(choice.to) << " already\n";
    else
        print_plan(session, choice, answer);
}

std::string frames_text(Json const& vf, char const* key) {
    auto const traffic = field(vf, "traffic");
    return traffic.is_null() ? std::string() : grouped(number_field(traffic, key));
}

void print_vfs(Session const& session, Json const& vfs) {
    Table table{{{"VF", Table::Align::right},
                 {"INTERFACE"},
                 {"LINK"},
                 {"GUEST"},
                 {"MAC"},
                 {"STEP"},
                 {"WAY"},
                 {"RECEIVED", Table::Align::right},
                 {"SENT", Table::Align::right}}};
    std::string reasons;
    for (auto const& vf : vfs) {
        bool const present = flag_field(vf, "present");
        table.add({std::to_string(number_field(vf, "vf")), text_field(vf, "interface"),
                   present ? text_field(vf, "link") : "gone", text_field(vf, "guest"), text_field(vf, "mac"),
                   text_field(vf, "step"), text_field(vf, "way"), frames_text(vf, "received_frames"),
                   frames_text(vf, "sent_frames")},
                  present ? Tone::plain : Tone::bad);
        if (auto const why = text_field(vf, "why"); !why.empty())
            reasons += printable(text_field(vf, "guest") + ": " + why) + "\n";
    }
    if (table.empty())
        *session.out << "no VFs: direct.steering in librettos-netserver.toml(5)\n";
    else
        *session.out << table.text(session.style) << (reasons.empty() ? "" : "\n") << reasons;
}

}  // namespace

int switch_guest(Session const& session, SwitchChoice const& choice) {
    Json request{{"command", "switch"}, {"guest", choice.guest}, {"to", choice.to}, {"dry_run", choice.dry_run}};
    if (choice.vf)
        request["vf"] = *choice.vf;
    if (choice.timeout_ms)
        request["timeout_ms"] = *choice.timeout_ms;
    auto const begun = session.ask(request);
    if (!begun.ok || choice.to == "auto" || choice.dry_run || flag_field(begun.result, "already"))
        return report(session, begun, [&](Json const& answer) { print_answer(session, choice, answer); });
    // Each step may wait for the guest; back from half-way is as long again; and an engine may be replaced meanwhile.
    constexpr int guest_steps = 4;
    auto const limit = milliseconds(choice.timeout_ms.value_or(2000) * guest_steps) + session.timeout * 2;
    auto const outcome = wait_for_outcome(session, choice.guest, number_field(begun.result, "serial"), limit);
    if (!outcome.ok)
        return report_refusal(session, outcome);
    if (!session.json)
        return print_outcome(session, choice, outcome.result);
    *session.out << outcome.line << "\n";
    return text_field(outcome.result, "path") == choice.to ? exit_fine : exit_refused;
}

int list_vfs(Session const& session) {
    return report(session, session.ask({{"command", "vf"}}), [&](Json const& result) { print_vfs(session, result); });
}

}  // namespace librettos::ctl
