// SPDX-License-Identifier: BSD-2-Clause
// The addresses and ports of frames_world.py.
#include "tests/unit/datapath/small_world.hpp"

namespace librettos::test {

namespace {

constexpr std::uint16_t absent_domain = 13;
constexpr std::uint16_t dead_domain = 99;

Ipv6Address ipv6(std::uint8_t last) {
    return {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}};
}

MacAddress mac(std::uint8_t last) {
    return {{2, 0, 0, 0, 0, last}};
}

std::unique_ptr<lvif_portmap> small_portmap() {
    auto ports = std::make_unique<lvif_portmap>();
    auto const bound = [](std::uint16_t owner) { return lvif_port_entry(LVIF_PORT_BOUND, owner, 0); };
    ports->tcp[80] = bound(11);
    ports->tcp[443] = bound(12) | LVIF_PORT_LEASED;
    ports->udp[53] = bound(11);
    ports->udp[5353] = bound(12);
    for (std::uint32_t* table : {ports->tcp, ports->udp}) {
        table[9000] = bound(absent_domain);
        table[81] = lvif_port_entry(LVIF_PORT_QUARANTINED, dead_domain, 0);
        table[22] = lvif_port_entry(LVIF_PORT_RESERVED, 0, 0);
    }
    return ports;
}

}  // namespace

NetworkIdentity small_network() {
    NetworkIdentity network;
    network.mac = mac(1);
    network.ipv4 = ipv4(10, 0, 0, 1);
    network.ipv6 = ipv6(1);
    network.ipv4_broadcast = ipv4(10, 0, 0, 255);
    return network;
}

GuestIdentity SmallWorld::identity(Slot slot) const {
    if (slot <= 2) {
        NetworkIdentity const& network = directory_.network();
        return {DomId{static_cast<std::uint16_t>(10 + slot)}, GuestMode::shared, network.mac, network.ipv4,
                network.ipv6};
    }
    auto const last = static_cast<std::uint8_t>(slot * 10);
    auto const hex = static_cast<std::uint8_t>(slot * 16);
    return {DomId{static_cast<std::uint16_t>(20 + slot)}, GuestMode::dedicated, mac(hex), ipv4(10, 0, 0, last),
            ipv6(hex)};
}

SmallWorld::SmallWorld(NetworkIdentity const& network)
    : ports_(small_portmap()), directory_(network, *ports_), classifier_(directory_) {
    for (Slot slot : {1, 2, 3, 4}) {
        directory_.add(slot, identity(slot));
        classifier_.forget(slot);
    }
}

}  // namespace librettos::test
