// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl guests`, `guest`, `limit`, `attach` and `detach`.
#include <algorithm>

#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"

namespace librettos::ctl {

namespace {

std::string limit_text(Json const& limit) {
    std::string text;
    auto const append = [&](std::uint64_t value, std::string const& shown) {
        if (value != 0)
            text += (text.empty() ? "" : ", ") + shown;
    };
    auto const frames = number_field(limit, "frames_per_s");
    auto const bits = number_field(limit, "bits_per_s");
    auto const ports = number_field(limit, "ports");
    append(frames, grouped(frames) + " frames/s");
    append(bits, bit_rate(static_cast<double>(bits)));
    append(ports, counted(ports, "port"));
    return text.empty() ? "none" : text;
}

Tone tone_of(std::string const& state) {
    return state == "connected" ? Tone::plain : state == "detached" ? Tone::bad : Tone::warning;
}

// Empty while it is not connected.
std::string attached_text(Json const& guest) {
    return field(guest, "attached_s").is_null() ? std::string{} : duration(number_field(guest, "attached_s"));
}

std::string range_text(Json const& range) {
    auto const first = range.at(0).get<std::uint64_t>();
    auto const last = range.at(1).get<std::uint64_t>();
    auto text = first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
    return range.at(2).get<std::string>() == "leased" ? text + " leased" : text;
}

std::string ranges_text(Json const& ranges) {
    std::string text;
    for (auto const& range : ranges)
        text += (text.empty() ? "" : ", ") + range_text(range);
    return text.empty() ? "none" : text;
}

std::string path_text(Json const& guest) {
    auto const vf = field(field(guest, "switch"), "vf");
    return vf.is_null() ? text_field(guest, "path")
                        : text_field(guest, "path") + ", VF " + vf.dump() + ", step " +
                              text_field(field(guest, "switch"), "step");
}

// Measured where there are VFs; with the reason for its way, if the server chooses that.
std::string load_text(Json const& guest) {
    auto const vf_switch = field(guest, "switch");
    if (text_field(vf_switch, "way") == "auto")
        return "auto: " + text_field(vf_switch, "why");
    auto const load = number_field(vf_switch, "load_bits_per_s");
    return load == 0 ? std::string() : bit_rate(static_cast<double>(load));
}

// Empty: there was none.
std::string last_switch_text(Json const& guest) {
    auto const last = field(field(guest, "switch"), "last");
    if (last.is_null())
        return {};
    auto const reason = text_field(last, "reason");
    return "to " + text_field(last, "to") + (flag_field(last, "reached") ? ", reached" : ", not reached") + " in " +
           std::to_string(number_field(last, "took_us")) + " us" + (reason.empty() ? "" : ": " + reason);
}

// Connected guests last, each group by name: what needs a look comes first.
std::vector<Json> sorted_guests(Json const& list) {
    if (!list.is_array())
        throw std::runtime_error("the list of guests is no list");
    std::vector<Json> guests(list.begin(), list.end());
    std::stable_sort(guests.begin(), guests.end(), [](Json const& a, Json const& b) {
        auto const key = [](Json const& guest) {
            return std::pair{text_field(guest, "state") == "connected", text_field(guest, "name")};
        };
        return key(a) < key(b);
    });
    return guests;
}

void print_guest(Session const& session, Json const& guest) {
    auto const state = text_field(guest, "state");
    auto const since = attached_text(guest);
    *session.out << session.style.paint(tone_of(state) == Tone::plain ? Tone::good : tone_of(state),
                                        printable(text_field(guest, "name") + " is " + state))
                 << printable(", " + text_field(guest, "mode") + ", domain " +
                              std::to_string(number_field(guest, "domain")) + (since.empty() ? "" : ", for " + since))
                 << "\n";
    auto const line = [&](char const* label, std::string const& text) { print_particular(session, label, text); };
    line("detached    ", text_field(guest, "detach_reason"));
    line("program     ", text_field(guest, "program"));
    line("MAC         ", text_field(guest, "mac"));
    line("IPv4        ", text_field(guest, "ipv4"));
    line("IPv6        ", text_field(guest, "ipv6"));
    line("MTU         ", std::to_string(number_field(guest, "mtu_bytes")));
    line("queues      ",
         std::to_string(number_field(guest, "queues")) + ", rings of " + byte_size(number_field(guest, "ring_bytes")));
    line("path        ", path_text(guest));
    line("load        ", load_text(guest));
    line("last switch ", last_switch_text(guest));
    line("features    ", joined_field(guest, "features"));
    line("limit       ", limit_text(field(guest, "limit")));
    line("tcp ports   ", ranges_text(field(guest, "tcp_ports")));
    line("udp ports   ", ranges_text(field(guest, "udp_ports")));
    line("frontend    ", text_field(guest, "frontend_path"));
    line("backend     ", text_field(guest, "backend_path"));
    line("slot        ", std::to_string(number_field(guest, "slot")));
}

void print_guests(Session const& session, Json const& guests) {
    using Align = Table::Align;
    Table table{{{"GUEST"},
                 {"STATE"},
                 {"MODE"},
                 {"PATH"},
                 {"DOMAIN", Align::right},
                 {"IPV4"},
                 {"IPV6"},
                 {"PORTS", Align::right},
                 {"QUEUES", Align::right},
                 {"ATTACHED", Align::right},
                 {"LIMIT"},
                 {"PROGRAM"}}};
    std::string reasons;
    for (auto const& guest : sorted_guests(guests)) {
        auto const state = text_field(guest, "state");
        auto const name = text_field(guest, "name");
        table.add({name, state, text_field(guest, "mode"), text_field(guest, "path"),
                   std::to_string(number_field(guest, "domain")), text_field(guest, "ipv4"), text_field(guest, "ipv6"),
                   grouped(number_field(guest, "ports")), std::to_string(number_field(guest, "queues")),
                   attached_text(guest), limit_text(field(guest, "limit")), text_field(guest, "program")},
                  tone_of(state));
        if (auto const reason = text_field(guest, "detach_reason"); !reason.empty())
            reasons += printable(name + ": " + reason) + "\n";
    }
    if (table.empty())
        *session.out << "no guests\n";
    else
        *session.out << table.text(session.style) << (reasons.empty() ? "" : "\n" + reasons);
}

}  // namespace

int list_guests(Session const& session) {
    return report(session, session.ask({{"command", "guests"}}),
                  [&](Json const& result) { print_guests(session, result); });
}

int show_guest(Session const& session, std::string const& guest) {
    return report(session, session.ask({{"command", "guest"}, {"guest", guest}}),
                  [&](Json const& result) { print_guest(session, result); });
}

int limit_guest(Session const& session, std::string const& guest, LimitChange const& change) {
    Json request{{"command", "limit"}, {"guest", guest}};
    if (change.frames_per_s)
        request["frames_per_s"] = *change.frames_per_s;
    if (change.bits_per_s)
        request["bits_per_s"] = *change.bits_per_s;
    if (change.ports)
        request["ports"] = *change.ports;
    return report(session, session.ask(request), [&](Json const& result) {
        *session.out << printable(guest) << ": limit " << limit_text(result) << "\n";
    });
}

int detach_guest(Session const& session, std::string const& guest, std::string const& reason) {
    Json request{{"command", "detach"}, {"guest", guest}};
    if (!reason.empty())
        request["reason"] = reason;
    return report(session, session.ask(request), [&](Json const& result) {
        *session.out << printable(text_field(result, "guest")) << " is detached\n";
    });
}

int attach_guest(Session const& session, std::string const& guest, AttachChoice const& choice) {
    Json request{{"command", "attach"}, {"guest", guest}};
    if (!choice.mode.empty())
        request["mode"] = choice.mode;
    if (!choice.ipv4.empty())
        request["ipv4"] = choice.ipv4;
    return report(session, session.ask(request), [&](Json const& result) {
        *session.out << printable(text_field(result, "guest"))
                     << (field(result, "made") == true ? " has a device now\n" : " may connect again\n");
    });
}

}  // namespace librettos::ctl
