// SPDX-License-Identifier: BSD-2-Clause
// The control API: requests, guests, and what is done to them.
#include "daemon/engine/control/api_commands.hpp"

#include <librettos/frame_ring.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <limits>
#include <system_error>
#include <utility>

#include "daemon/engine/control/api_error.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

using Json = ApiCommands::Json;

std::int64_t seconds_since(TimePoint then) {
    return std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - then).count();
}

Json limits_json(GuestLimits const& limits) {
    return {{"frames_per_s", limits.frames_per_s}, {"bits_per_s", limits.bits_per_s}, {"ports", limits.ports}};
}

Json feature_names(std::uint32_t features) {
    constexpr std::array<std::pair<std::uint32_t, char const*>, 6> names{{{LVIF_F_TX_CSUM, "tx-csum"},
                                                                          {LVIF_F_TX_TSO4, "tx-tso4"},
                                                                          {LVIF_F_TX_TSO6, "tx-tso6"},
                                                                          {LVIF_F_RX_CSUM, "rx-csum"},
                                                                          {LVIF_F_RX_TSO4, "rx-tso4"},
                                                                          {LVIF_F_RX_TSO6, "rx-tso6"}}};
    auto list = Json::array();
    for (auto const& [bit, name] : names) {
        if ((features & bit) != 0)
            list.push_back(name);
    }
    return list;
}

Json range_list(lvif_portmap const& portmap, std::uint8_t protocol, DomId owner) {
    auto list = Json::array();
    for (auto const& range : port_ranges(portmap, protocol, owner))
        list.push_back({range.first, range.last, range.leased ? "leased" : "bound"});
    return list;
}

// An optional number of the request; `current` when it is not given.
std::uint64_t number_or(Json const& request, char const* key, std::uint64_t current, std::uint64_t max) {
    if (!request.contains(key))
        return current;
    auto const& value = request[key];
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max)
        throw ApiError("bad-request", std::string("'") + key + "' is not a number from 0 to " + std::to_string(max),
                       "0 means: no limit");
    return value.get<std::uint64_t>();
}

// What the request says about the guest's address; null: nothing.
// One that can never be met is refused: a connected guest would be detached for it.
std::optional<Assignment> assignment_of(Json const& request, Config::Dedicated const& pool) {
    if (!request.contains("mode") && !request.contains("ipv4"))
        return std::nullopt;
    auto const mode = request.value("mode", Json(nullptr));
    if (mode != "dedicated" && mode != "shared")
        throw ApiError("bad-request", "'mode' is neither \"dedicated\" nor \"shared\"",
                       "an 'ipv4' needs \"dedicated\"");
    Assignment assignment{.mode = mode == "dedicated" ? GuestMode::dedicated : GuestMode::shared, .ipv4 = {}};
    if (assignment.mode == GuestMode::dedicated && pool.ipv4.empty() && pool.ipv6.empty())
        throw ApiError("bad-request", "the server has no addresses for dedicated guests",
                       "[dedicated] in librettos-netserver.toml(5)");
    if (!request.contains("ipv4"))
        return assignment;
    auto const& text = request["ipv4"];
    auto const address = text.is_string() ? parse_ipv4(text.get<std::string>()) : std::nullopt;
    if (!address || !address->is_set() || assignment.mode != GuestMode::dedicated)
        throw ApiError("bad-request", "'ipv4' is no IPv4 address of a dedicated guest",
                       "one of dedicated.ipv4 of the configuration, with \"mode\": \"dedicated\"");
    if (std::none_of(pool.ipv4.begin(), pool.ipv4.end(), [&](auto const& one) { return parse_ipv4(one) == address; }))
        throw ApiError("bad-request", to_text(*address) + " is none of the addresses for dedicated guests",
                       "dedicated.ipv4 in librettos-netserver.toml(5) has them");
    assignment.ipv4 = *address;
    return assignment;
}

std::string reply_text(Json const& reply) {
    return reply.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string error_reply(std::string const& code, std::string const& message, std::string const& hint) {
    return reply_text(
        {{"schema", 1}, {"ok", false}, {"error", {{"code", code}, {"message", message}, {"hint", hint}}}});
}

}  // namespace

ApiCommands::ApiCommands(EngineBoot const& boot, Config const& config) : boot_(boot), config_(config) {
}

void ApiCommands::connected(Hypervisor& hypervisor, Guests& guests) {
    hypervisor_ = &hypervisor;
    guests_ = &guests;
}

std::string ApiCommands::answer(std::string_view request) {
    try {
        auto const parsed = Json::parse(request, nullptr, false);
        if (!parsed.is_object())
            throw ApiError("bad-request", "the request is no JSON object", R"({"schema": 1, "command": "status"})");
        auto const schema = parsed.value("schema", Json(nullptr));
        if (schema != 1)
            throw ApiError("bad-request", "'schema' is not 1", "this server speaks schema 1");
        return reply_text({{"schema", 1}, {"ok", true}, {"result", dispatch(parsed)}});
    } catch (ApiError const& error) {
        return error_reply(error.code, error.what(), error.hint);
    } catch (std::system_error const& error) {
        return error_reply("failed", error.what(), "journalctl -u librettos-netserver may say more");
    }
}

Json ApiCommands::dispatch(Json const& request) {
    using Command = Json (ApiCommands::*)(Json const&);
    static constexpr std::array<std::pair<std::string_view, Command>, 8> commands{
        {{"guest", &ApiCommands::show_guest},
         {"ports", &ApiCommands::list_ports},
         {"port", &ApiCommands::show_port},
         {"limit", &ApiCommands::limit},
         {"detach", &ApiCommands::detach},
         {"attach", &ApiCommands::attach},
         {"switch", &ApiCommands::switch_guest},
         {"vf", &ApiCommands::list_vfs}}};
    auto const name = request.value("command", Json(nullptr));
    if (!name.is_string())
        throw ApiError("bad-request", "'command' is missing or no string", "for example \"command\": \"status\"");
    if (name == "status")
        return status();
    if (name == "guests")
        return list_guests();
    for (auto const& [known, command] : commands) {
        if (name == known)
            return (this->*command)(request);
    }
    throw ApiError("unknown-command", "there is no command '" + printable(name.get<std::string>(), 40) + "'",
                   "status, guests, guest, ports, port, limit, detach, attach, switch, vf");
}

void ApiCommands::require_hypervisor() const {
    if (hypervisor_ == nullptr)
        throw config_.hypervisor == "xen"
            ? ApiError("busy", "Xen cannot be reached yet", "librettosctl doctor")
            : ApiError("busy", "the hypervisor at " + config_.hypervisor_socket + " cannot be reached yet",
                       "systemctl status librettos-hypervisord");
}

std::string ApiCommands::guest_text(Json const& request) const {
    require_hypervisor();
    auto const name = request.value("guest", Json(nullptr));
    if (!name.is_string() && !name.is_number_unsigned())
        throw ApiError("bad-request", "'guest' is missing: a name or a domain id", "librettosctl guests lists them");
    return name.is_string() ? name.get<std::string>() : name.dump();
}

Guest& ApiCommands::named_guest(Json const& request) {
    auto const text = guest_text(request);
    auto* const guest = guests_->find(text);
    if (guest == nullptr)
        throw ApiError("not-found", "no guest is named '" + printable(text, 64) + "'",
                       "librettosctl guests lists them");
    return *guest;
}

Json ApiCommands::describe(Guest const& guest, std::vector<std::uint32_t> const& owned) const {
    auto const& offer = guest.offer();
    bool const attached = guest.phase() == Guest::Phase::connected;
    Json json;
    json["name"] = guest.name();
    json["domain"] = guest.domain().value;
    json["slot"] = guest.slot() ? Json(*guest.slot()) : Json(nullptr);
    json["mode"] = offer.mode == GuestMode::dedicated ? "dedicated" : "shared";
    json["state"] = to_text(guest.phase());
    json["mac"] = offer.mac == MacAddress{} ? Json(nullptr) : Json(to_text(offer.mac));
    json["path"] = guest.vf_switch().at_rings() ? "server" : guest.vf_switch().idle() ? "direct" : "switching";
    json["ipv4"] = offer.ipv4.is_set() ? Json(to_text(offer.ipv4)) : Json(nullptr);
    json["ipv6"] = offer.ipv6.is_set() ? Json(to_text(offer.ipv6)) : Json(nullptr);
    json["queues"] = guest.rings() != nullptr ? guest.rings()->queues.size() : 0;
    json["ports"] = owned[guest.domain().value];
    json["program"] = guest.program();
    json["attached_s"] = attached ? Json(seconds_since(guest.attached_at())) : Json(nullptr);
    json["detach_reason"] = guest.detach_reason().empty() ? Json(nullptr) : Json(guest.detach_reason());
    json["limit"] = limits_json(guest.limits());
    return json;
}

Json ApiCommands::list_guests() {
    require_hypervisor();
    auto const owned = owned_ports(hypervisor_->portmap());
    auto list = Json::array();
    for (auto const& [domain, guest] : guests_->all())
        list.push_back(describe(*guest, owned));
    return list;
}

Json ApiCommands::show_guest(Json const& request) {
    auto const& guest = named_guest(request);
    auto const& portmap = hypervisor_->portmap();
    auto json = describe(guest, owned_ports(portmap));
    auto const* const rings = guest.rings();
    json["ring_bytes"] = rings != nullptr ? rings->capacity : 0;
    json["features"] = feature_names(rings != nullptr ? rings->features : 0);
    json["mtu_bytes"] = guest.offer().mtu_bytes;
    json["switch"] =
        guest.offer().mode == GuestMode::dedicated ? switch_json(guest, guests_->auto_switch()) : Json(nullptr);
    json["frontend_path"] = guest.frontend();
    json["backend_path"] = guest.backend();
    json["tcp_ports"] = range_list(portmap, IPPROTO_TCP, guest.domain());
    json["udp_ports"] = range_list(portmap, IPPROTO_UDP, guest.domain());
    return json;
}

Json ApiCommands::limit(Json const& request) {
    auto& guest = named_guest(request);
    constexpr auto any = std::numeric_limits<std::uint64_t>::max();
    auto limits = guest.limits();
    if (!request.contains("frames_per_s") && !request.contains("bits_per_s") && !request.contains("ports"))
        throw ApiError("bad-request", "no limit is given", "any of frames_per_s, bits_per_s, ports; 0 means none");
    limits.frames_per_s = number_or(request, "frames_per_s", limits.frames_per_s, any);
    limits.bits_per_s = number_or(request, "bits_per_s", limits.bits_per_s, any);
    limits.ports = static_cast<std::uint32_t>(
        number_or(request, "ports", limits.ports, std::numeric_limits<std::uint32_t>::max()));
    guests_->set_limits(guest, limits);
    return limits_json(limits);
}

Json ApiCommands::detach(Json const& request) {
    auto& guest = named_guest(request);
    auto const reason = request.value("reason", Json("detached by the operator"));
    if (!reason.is_string())
        throw ApiError("bad-request", "'reason' is no string", "a short text for the guest and the log");
    auto const name = guest.name();
    guests_->detach(guest, printable(reason.get<std::string>(), 200), Clock::now());
    return {{"guest", name}};
}

Json ApiCommands::attach(Json const& request) {
    auto const wanted = guest_text(request);
    auto const assignment = assignment_of(request, config_.dedicated);
    if (auto* const guest = guests_->find(wanted)) {
        auto const name = guest->name();
        guests_->attach(*guest, Clock::now(), assignment);
        return {{"guest", name}, {"made", false}};
    }
    if (!hypervisor_->makes_devices())
        throw ApiError("not-found", "no guest is named '" + printable(wanted, 64) + "'",
                       "in local mode guests attach themselves: librettos-guest run --name NAME -- COMMAND");
    if (!guests_->attach_domain(wanted, assignment.value_or(Assignment{}), Clock::now()))
        throw ApiError("not-found", "no domain is named '" + printable(wanted, 64) + "'", "xl list shows them");
    return {{"guest", wanted}, {"made", true}};
}

}  // namespace librettos::control
