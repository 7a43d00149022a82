// SPDX-License-Identifier: BSD-2-Clause
// `librettosctl ports`, `ports who` and `ports why`: who owns which port of the shared address.
#include <algorithm>
#include <tuple>

#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/fields.hpp"

namespace librettos::ctl {

namespace {

std::vector<Json> entries_of(Json const& list) {
    if (!list.is_array())
        throw std::runtime_error("the list of ports is no list");
    return {list.begin(), list.end()};
}

std::string port_name(Json const& entry) {
    return text_field(entry, "protocol") + " " + std::to_string(number_field(entry, "port"));
}

std::string owner_name(Json const& entry) {
    auto const owner = text_field(entry, "owner");
    auto const domain = "domain " + std::to_string(number_field(entry, "domain"));
    return owner.empty() ? domain : owner + " (" + domain + ")";
}

bool is_owned(Json const& entry) {
    return text_field(entry, "state") != "free";
}

std::string who_line(Json const& entry) {
    auto const state = text_field(entry, "state");
    auto const name = port_name(entry) + ": ";
    if (state == "free")
        return name + "nobody's";
    if (state == "reserved")
        return name + "reserved for the host";
    if (state == "quarantined")
        return name + "kept for " + owner_name(entry) + ", which is gone, for " +
               duration(number_field(entry, "quarantine_left_s"));
    return name + owner_name(entry) + (flag_field(entry, "leased") ? ", leased" : "") +
           (flag_field(entry, "attached") ? "" : ", which is not attached: frames to it are dropped");
}

void print_why(Session const& session, Json const& entry) {
    *session.out << session.style.paint(Tone::strong, printable(who_line(entry))) << "\n";
    auto const explanation = text_field(entry, "explanation");
    if (!explanation.empty())
        *session.out << "  " << printable(explanation) << "\n";
    if (!is_owned(entry))
        return;
    *session.out << "  in this state for " << duration(number_field(entry, "age_s")) << "\n";
    if (text_field(entry, "state") != "bound")
        return;
    auto const limit = number_field(entry, "owner_limit");
    *session.out << "  its owner has " << counted(number_field(entry, "owner_ports"), "port")
                 << (limit == 0 ? ", without a limit" : " of at most " + grouped(limit)) << "\n";
}

// The reply with only the entries that the filter lets through.
void print_json(Session const& session, Reply const& reply, std::vector<Json> const& entries) {
    auto document = Json::parse(reply.line);
    document["result"] = entries;
    *session.out << document.dump() << "\n";
}

bool passes(PortFilter const& filter, Json const& entry) {
    bool const of_guest = filter.guest.empty() || text_field(entry, "owner") == filter.guest ||
                          std::to_string(number_field(entry, "domain")) == filter.guest;
    return of_guest && (filter.protocol.empty() || text_field(entry, "protocol") == filter.protocol);
}

// Asks for a port, of either protocol or of the one wanted, and shows what passes. exit_fine: there is an entry that
// was looked for.
template <typename Wanted, typename Print>
int show_port(Session const& session, PortFilter const& filter, std::uint16_t port, Wanted wanted, Print print) {
    Json request{{"command", "port"}, {"port", port}};
    if (!filter.protocol.empty())
        request["protocol"] = filter.protocol;
    auto const reply = session.ask(request);
    if (!reply.ok)
        return report_refusal(session, reply);
    auto entries = entries_of(reply.result);
    std::erase_if(entries, [&](Json const& entry) { return !passes(filter, entry); });
    if (session.json)
        print_json(session, reply, entries);
    else
        std::for_each(entries.begin(), entries.end(), print);
    return std::any_of(entries.begin(), entries.end(), wanted) ? exit_fine : exit_refused;
}

}  // namespace

int list_ports(Session const& session, PortFilter const& filter) {
    Json request{{"command", "ports"}};
    if (!filter.guest.empty())
        request["guest"] = filter.guest;
    auto const reply = session.ask(request);
    if (!reply.ok)
        return report_refusal(session, reply);
    auto entries = entries_of(reply.result);
    std::erase_if(entries, [&](Json const& entry) {
        return !filter.protocol.empty() && text_field(entry, "protocol") != filter.protocol;
    });
    if (session.json) {
        print_json(session, reply, entries);
        return exit_fine;
    }
    std::stable_sort(entries.begin(), entries.end(), [](Json const& a, Json const& b) {
        auto const key = [](Json const& entry) {
            return std::tuple{text_field(entry, "protocol"), number_field(entry, "first")};
        };
        return key(a) < key(b);
    });
    Table table{{{"PROTOCOL"}, {"PORTS"}, {"STATE"}, {"OWNER"}, {"DOMAIN", Table::Align::right}, {"LEASED"}}};
    for (auto const& entry : entries) {
        auto const first = std::to_string(number_field(entry, "first"));
        auto const last = std::to_string(number_field(entry, "last"));
        auto const state = text_field(entry, "state");
        table.add({text_field(entry, "protocol"), first == last ? first : first + "-" + last, state,
                   text_field(entry, "owner"), std::to_string(number_field(entry, "domain")),
                   flag_field(entry, "leased") ? "yes" : "no"},
                  state == "quarantined" ? Tone::warning : Tone::plain);
    }
    if (table.empty())
        *session.out << "no ports are owned\n";
    else
        *session.out << table.text(session.style);
    return exit_fine;
}

int who_owns_port(Session const& session, PortFilter const& filter, std::uint16_t port) {
    return show_port(session, filter, port, is_owned,
                     [&](Json const& entry) { *session.out << printable(who_line(entry)) << "\n"; });
}

int why_port(Session const& session, PortFilter const& filter, std::uint16_t port) {
    return show_port(
        session, filter, port, [](Json const&) { return true; }, [&](Json const& entry) { print_why(session, entry); });
}

}  // namespace librettos::ctl
