// SPDX-License-Identifier: BSD-2-Clause
// Making, writing and reading back an offer.
#include "daemon/engine/control/offer.hpp"

#include <arpa/inet.h>
#include <librettos/frame_ring.h>
#include <librettos/handshake.h>

#include <algorithm>
#include <limits>
#include <system_error>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

constexpr char key_assigned_mode[] = "assigned-mode";
constexpr char key_assigned_ipv4[] = "assigned-ipv4";
constexpr char key_limit_frames[] = "limit-frames";
constexpr char key_limit_bits[] = "limit-bits";
constexpr char key_limit_ports[] = "limit-ports";

template <typename T>
T required(std::optional<T> const& value, std::string const& key, std::string const& text) {
    if (!value)
        throw std::system_error(EINVAL, std::generic_category(), key + " = '" + text + "' is not an address");
    return *value;
}

void put(Hypervisor& hypervisor, std::string const& path, std::string const& value) {
    if (value.empty())
        hypervisor.remove(path);
    else
        hypervisor.write(path, value);
}

template <typename Address>
std::string with_prefix(Address const& address, std::uint8_t prefix) {
    return address.is_set() ? to_text(address) + "/" + std::to_string(prefix) : std::string();
}

// "address/prefix"; false when it is not.
template <typename Address, typename Parse>
bool split_prefix(std::string const& text, Parse parse, std::uint8_t max_prefix, Address& address,
                  std::uint8_t& prefix) {
    auto const slash = text.find('/');
    if (slash == std::string::npos)
        return false;
    auto const parsed = parse(text.substr(0, slash));
    auto const bits = parse_number(std::string_view(text).substr(slash + 1), max_prefix);
    if (!parsed || !bits)
        return false;
    address = *parsed;
    prefix = static_cast<std::uint8_t>(*bits);
    return true;
}

}  // namespace

NetworkIdentity network_identity(Config const& config, PortDescription const& port) {
    NetworkIdentity network;
    auto const& from = config.network;
    network.mac = from.mac.empty() ? MacAddress{port.mac} : required(parse_mac(from.mac), "network.mac", from.mac);
    if (from.ipv4) {
        network.ipv4 = required(parse_ipv4(from.ipv4->address), "network.ipv4", from.ipv4->address);
        auto const prefix = from.ipv4->prefix;
        std::uint32_t const host_bits = prefix >= 32 ? 0 : std::numeric_limits<std::uint32_t>::max() >> prefix;
        network.ipv4_broadcast = {network.ipv4.be | htonl(host_bits)};
    }
    if (from.ipv6)
        network.ipv6 = required(parse_ipv6(from.ipv6->address), "network.ipv6", from.ipv6->address);
    network.mtu_bytes = std::clamp<std::uint16_t>(port.mtu_bytes, LVIF_MIN_MTU, LVIF_MAX_MTU);
    network.vlan = from.vlan;
    network.unowned_tcp = from.unowned_tcp == "silent" ? UnownedPort::silent : UnownedPort::answer;
    network.unowned_udp = from.unowned_udp == "silent" ? UnownedPort::silent : UnownedPort::answer;
    network.replies_per_s = from.replies_per_s;
    return network;
}

Offer shared_offer(Config const& config, NetworkIdentity const& network) {
    Offer offer;
    offer.mac = network.mac;
    offer.ipv4 = network.ipv4;
    offer.ipv4_prefix = config.network.ipv4 ? config.network.ipv4->prefix : 24;
    offer.ipv6 = network.ipv6;
    offer.ipv6_prefix = config.network.ipv6 ? config.network.ipv6->prefix : 64;
    offer.gateway4 = config.network.gateway4;
    offer.gateway6 = config.network.gateway6;
    offer.mtu_bytes = network.mtu_bytes;
    offer.vlan = network.vlan;
    offer.features = LVIF_F_ALL;  // the data path completes and segments in software what the port cannot
    offer.max_queues = std::clamp<std::uint16_t>(config.limits.queues, 1, LVIF_MAX_QUEUES);
    offer.max_ring_bytes =
        std::clamp<std::uint32_t>(config.limits.ring_bytes, LVIF_RING_MIN_CAPACITY, LVIF_RING_MAX_CAPACITY);
    return offer;
}

void write_offer(Hypervisor& hypervisor, std::string const& backend, Offer const& offer) {
    auto const key = [&](char const* name) { return backend + "/" + name; };
    hypervisor.write(key(LVIF_KEY_VERSION), std::to_string(LVIF_HANDSHAKE_VERSION));
    hypervisor.write(key(LVIF_KEY_MODE), offer.mode == GuestMode::dedicated ? "dedicated" : "shared");
    hypervisor.write(key(LVIF_KEY_MAC), to_text(offer.mac));
    put(hypervisor, key(LVIF_KEY_IPV4), with_prefix(offer.ipv4, offer.ipv4_prefix));
    put(hypervisor, key(LVIF_KEY_GATEWAY4), offer.gateway4);
    put(hypervisor, key(LVIF_KEY_IPV6), with_prefix(offer.ipv6, offer.ipv6_prefix));
    put(hypervisor, key(LVIF_KEY_GATEWAY6), offer.gateway6);
    hypervisor.write(key(LVIF_KEY_MTU), std::to_string(offer.mtu_bytes));
    put(hypervisor, key(LVIF_KEY_VLAN), offer.vlan == 0 ? std::string() : std::to_string(offer.vlan));
    hypervisor.write(key(LVIF_KEY_FEATURES), std::to_string(offer.features));
    hypervisor.write(key(LVIF_KEY_MAX_QUEUES), std::to_string(offer.max_queues));
    hypervisor.write(key(LVIF_KEY_MAX_RING_BYTES), std::to_string(offer.max_ring_bytes));
    hypervisor.write(key(LVIF_KEY_PORT_AUTHORITY), std::string(hypervisor.portmap_authority()));
}

std::optional<Offer> read_offer(Hypervisor& hypervisor, std::string const& backend) {
    auto const text = [&](char const* name) { return hypervisor.read(backend + "/" + name); };
    auto const number = [&](char const* name, std::uint64_t max) { return parse_number(text(name).value_or(""), max); };
    Offer offer;
    auto const mode = text(LVIF_KEY_MODE).value_or("");
    auto const mac = parse_mac(text(LVIF_KEY_MAC).value_or(""));
    auto const mtu = number(LVIF_KEY_MTU, LVIF_MAX_MTU);
    auto const features = number(LVIF_KEY_FEATURES, LVIF_F_ALL);
    auto const queues = number(LVIF_KEY_MAX_QUEUES, LVIF_MAX_QUEUES);
    auto const ring_bytes = number(LVIF_KEY_MAX_RING_BYTES, LVIF_RING_MAX_CAPACITY);
    if ((mode != "shared" && mode != "dedicated") || !mac || !mtu || !features || !queues || !ring_bytes)
        return std::nullopt;
    auto const ipv4 = text(LVIF_KEY_IPV4);
    if (ipv4 && !split_prefix(*ipv4, parse_ipv4, 32, offer.ipv4, offer.ipv4_prefix))
        return std::nullopt;
    auto const ipv6 = text(LVIF_KEY_IPV6);
    if (ipv6 && !split_prefix(*ipv6, parse_ipv6, 128, offer.ipv6, offer.ipv6_prefix))
        return std::nullopt;
    offer.mode = mode == "dedicated" ? GuestMode::dedicated : GuestMode::shared;
    offer.mac = *mac;
    offer.gateway4 = text(LVIF_KEY_GATEWAY4).value_or("");
    offer.gateway6 = text(LVIF_KEY_GATEWAY6).value_or("");
    offer.mtu_bytes = static_cast<std::uint16_t>(*mtu);
    offer.vlan = static_cast<std::uint16_t>(number(LVIF_KEY_VLAN, 4094).value_or(0));
    offer.features = static_cast<std::uint32_t>(*features);
    offer.max_queues = static_cast<std::uint16_t>(*queues);
    offer.max_ring_bytes = static_cast<std::uint32_t>(*ring_bytes);
    return offer;
}

std::vector<std::pair<std::string, std::string>> assignment_keys(Assignment const& assignment) {
    std::vector<std::pair<std::string, std::string>> keys;
    if (assignment.mode)
        keys.emplace_back(key_assigned_mode, *assignment.mode == GuestMode::dedicated ? "dedicated" : "shared");
    if (assignment.ipv4.is_set())
        keys.emplace_back(key_assigned_ipv4, to_text(assignment.ipv4));
    return keys;
}

void write_assignment(Hypervisor& hypervisor, std::string const& backend, Assignment const& assignment) {
    hypervisor.remove(backend + "/" + key_assigned_mode);
    hypervisor.remove(backend + "/" + key_assigned_ipv4);
    for (auto const& [key, value] : assignment_keys(assignment))
        hypervisor.write(backend + "/" + key, value);
}

Assignment read_assignment(Hypervisor& hypervisor, std::string const& backend) {
    Assignment assignment;
    auto const mode = hypervisor.read(backend + "/" + key_assigned_mode);
    if (mode == "dedicated" || mode == "shared")
        assignment.mode = mode == "dedicated" ? GuestMode::dedicated : GuestMode::shared;
    assignment.ipv4 =
        parse_ipv4(hypervisor.read(backend + "/" + key_assigned_ipv4).value_or("")).value_or(Ipv4Address{});
    return assignment;
}

void count_attach(Hypervisor& hypervisor, std::string const& backend) {
    constexpr auto last = std::numeric_limits<std::uint32_t>::max();
    auto const path = backend + "/" LVIF_KEY_ATTACH_SERIAL;
    auto const serial = parse_number(hypervisor.read(path).value_or(""), last).value_or(0);
    hypervisor.write(path, std::to_string(serial == last ? 1 : serial + 1));
}

void write_limits(Hypervisor& hypervisor, std::string const& backend, GuestLimits const& limits) {
    hypervisor.write(backend + "/" + key_limit_frames, std::to_string(limits.frames_per_s));
    hypervisor.write(backend + "/" + key_limit_bits, std::to_string(limits.bits_per_s));
    hypervisor.write(backend + "/" + key_limit_ports, std::to_string(limits.ports));
}

std::optional<GuestLimits> read_limits(Hypervisor& hypervisor, std::string const& backend) {
    auto const number = [&](char const* name, std::uint64_t max) {
        return parse_number(hypervisor.read(backend + "/" + name).value_or(""), max);
    };
    auto const frames = number(key_limit_frames, std::numeric_limits<std::uint64_t>::max());
    auto const bits = number(key_limit_bits, std::numeric_limits<std::uint64_t>::max());
    auto const ports = number(key_limit_ports, std::numeric_limits<std::uint32_t>::max());
    if (!frames || !bits || !ports)
        return std::nullopt;
    return GuestLimits{*frames, *bits, static_cast<std::uint32_t>(*ports)};
}

}  // namespace librettos::control
