// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/steering/bridge_steering.hpp"

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace librettos {

namespace {

// Of a VF that is nobody's: locally administered, and of no guest.
constexpr VfMac nobodys{0x02, 0x4c, 0x52, 0xff, 0xff, 0xff};

// Of a port whose other end has just come up: the kernel does it in a work queue, when it has time.
constexpr auto activation = std::chrono::milliseconds(1000);
constexpr auto activation_step = std::chrono::microseconds(200);

}  // namespace

BridgeSteering::BridgeSteering(BridgeOptions options) : options_(std::move(options)) {
    auto const bridge = netlink_.find(options_.bridge);
    auto const port = netlink_.find(options_.server_port);
    if (!bridge)
        throw SteeringError(
            "there is no bridge " + options_.bridge + "; make it with: ip link add " + options_.bridge + " type bridge",
            ENODEV);
    if (!port || port->master != bridge->index)
        throw SteeringError(options_.server_port + " is no port of " + options_.bridge +
                                "; make it one with: ip link set " + options_.server_port + " master " +
                                options_.bridge,
                            ENODEV);
    bridge_ = bridge->index;
    server_port_ = port->index;
    require_filter(options_.vlan);
    for (std::uint16_t vf = 0; vf < options_.vfs.size(); ++vf) {
        if (!netlink_.find(bridge_end(vf)))
            make(vf);
    }
}

std::string BridgeSteering::bridge_end(std::uint16_t vf) const {
    return guest_end(vf) + "b";
}

LinkFacts BridgeSteering::require_port(std::uint16_t vf) {
    require_vf(vf, options_.vfs.size());
    auto const port = netlink_.find(bridge_end(vf));
    if (!port)
        throw SteeringError(guest_end(vf) + " is gone", ENODEV);
    return *port;
}

void BridgeSteering::make(std::uint16_t vf) {
    netlink_.add_veth(bridge_end(vf), guest_end(vf));
    auto const port = require_port(vf);
    netlink_.set_mac(netlink_.find(guest_end(vf)).value().index, nobodys);
    netlink_.set_master(port.index, bridge_);
    netlink_.lock_bridge_port(port.index);
    netlink_.set_up(port.index, true);
}

void BridgeSteering::require_filter(std::uint16_t vlan) {
    if (vlan == 0 || netlink_.bridge_vlans(bridge_).filtered)
        return;
    auto const number = std::to_string(vlan);
    throw SteeringError(
        "the bridge " + options_.bridge + " does not filter VLANs, so that a VF could leave VLAN " + number +
            "; make it do so with: ip link set " + options_.bridge +
            " type bridge vlan_filtering 1, and for the server's port and the wire's: bridge vlan add vid " + number +
            " dev " + options_.server_port,
        ENOTSUP);
}

std::vector<VfState> BridgeSteering::vfs() {
    changes_.take();
    std::vector<VfState> states;
    for (std::uint16_t vf = 0; vf < options_.vfs.size(); ++vf) {
        auto const port = netlink_.find(bridge_end(vf));
        VfState state{guest_end(vf), port.has_value(), port && port->carrier};
        if (port)  // which sends what the other end receives
            state.traffic = {port->sent_frames, port->sent_bytes, port->received_frames, port->received_bytes};
        states.push_back(std::move(state));
    }
    return states;
}

void BridgeSteering::give(std::uint16_t vf, VfSettings const& settings) {
    auto const port = require_port(vf);
    require_filter(settings.vlan);
    auto const vlans = netlink_.bridge_vlans(bridge_);
    if (auto const vlan = settings.vlan != 0 ? settings.vlan : vlans.default_vlan; vlans.filtered && vlan != 0)
        netlink_.set_port_vlan(port.index, vlan);
    // A guest that has taken its end into its namespace keeps the address that it was given with it.
    if (auto const end = netlink_.find(guest_end(vf)); end && end->mac != settings.mac)
        netlink_.set_mac(end->index, settings.mac);
}

void BridgeSteering::steer_to_vf(std::uint16_t vf, VfMac const& mac) {
    auto port = require_port(vf);
    // Until then the bridge and the pair drop without a word what is sent there.
    for (auto waited = std::chrono::microseconds(0); port.carrier && !port.operational && waited < activation;
         waited += activation_step) {
        std::this_thread::sleep_for(activation_step);
        port = require_port(vf);
    }
    // The guest goes on sending by the server's port: what was learned there has to stay before it can be moved.
    if (!netlink_.forwards_for_good(port.index, mac))
        netlink_.add_forwarding(server_port_, mac);
    netlink_.add_forwarding(port.index, mac);
}

void BridgeSteering::steer_to_port(VfMac const& mac) {
    netlink_.add_forwarding(server_port_, mac);
}

// The bridge learns again where the guest is, as of all that have no VF.
void BridgeSteering::take(std::uint16_t vf, VfMac const& mac) {
    require_vf(vf, options_.vfs.size());
    netlink_.remove_forwarding(server_port_, mac);
    auto const port = netlink_.find(bridge_end(vf));
    auto const end = netlink_.find(guest_end(vf));
    if (port && end && end->peer == port->index) {
        netlink_.set_up(end->index, false);
        netlink_.set_mac(end->index, nobodys);
        return;
    }
    if (port)
        netlink_.remove(port->index);  // the other end, in whoever's namespace, goes with it
    make(vf);
}

}  // namespace librettos
