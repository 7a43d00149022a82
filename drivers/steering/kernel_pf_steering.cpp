// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/steering/kernel_pf_steering.hpp"

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

namespace librettos {

namespace {

namespace fs = std::filesystem;

constexpr VfMac no_address{};
// A NIC has room for few; what has none reaches the PF all the same, but not from VFs.
constexpr std::size_t most_addresses = 8;

VfMac nobodys(std::uint16_t number) {
    return {0x02, 0x4c, 0x56, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
}

fs::path link_to_vf(KernelPfOptions const& options, std::uint16_t number) {
    return fs::path(options.interfaces) / options.pf / "device" / ("virtfn" + std::to_string(number));
}

// As the PF's driver counts.
std::optional<std::uint16_t> number_named(KernelPfOptions const& options, std::string const& name) {
    for (std::uint16_t number = 0;; ++number) {
        std::error_code error;
        auto const device = fs::read_symlink(link_to_vf(options, number), error);
        if (error)
            return std::nullopt;
        if (device.filename() == name)
            return number;
    }
}

int change_membership(int socket, int option, int interface, VfMac const& mac) {
    packet_mreq address{};
    address.mr_ifindex = interface;
    address.mr_type = PACKET_MR_UNICAST;
    address.mr_alen = static_cast<unsigned short>(mac.size());
    std::copy(mac.begin(), mac.end(), std::begin(address.mr_address));
    return setsockopt(socket, SOL_PACKET, option, &address, sizeof address) == 0 ? 0 : errno;
}

LinkFacts require_pf(RouteNetlink& netlink, std::string const& name) {
    auto const pf = netlink.find(name);
    if (!pf)
        throw SteeringError("there is no interface " + name + "; direct.pf is the PF's, as its driver made it", ENODEV);
    return *pf;
}

// Our interfaces for VLANs are called so, with a number.
constexpr std::string_view vlan_name = "lrvlan";

bool is_ours(VlanLink const& link) {
    return link.name.starts_with(vlan_name);
}

}  // namespace

PfVlan::PfVlan(RouteNetlink& netlink, std::string const& pf, std::uint16_t vlan)
    : netlink_(netlink), pf_(require_pf(netlink, pf).index), vlan_(vlan) {
    bool made = false;
    for (auto const& link : netlink_.vlans_of(pf_)) {
        made = made || link.vlan == vlan;
        if (is_ours(link) && link.vlan != vlan)
            netlink_.remove(link.index);  // of one that was killed, and had another VLAN
    }
    if (made || vlan == 0)
        return;
    try {
        netlink_.add_vlan(pf_, vlan, std::string(vlan_name) + "%d");
    } catch (SteeringError const& error) {
        if (error.error == ENOTSUP)
            throw SteeringError(
                pf + " cannot be told to receive VLAN " + std::to_string(vlan) +
                    ", for want of an interface of that VLAN; the kernel has a module for them: modprobe 8021q",
                ENOTSUP);
        if (error.error != EEXIST)
            throw;
    }
}

PfVlan::~PfVlan() {
    try {
        for (auto const& link : netlink_.vlans_of(pf_)) {
            if (is_ours(link) && link.vlan == vlan_)
                netlink_.remove(link.index);
        }
    } catch (SteeringError const&) {  // the PF has gone, and its VLANs with it
    }
}

KernelPfSteering::KernelPfSteering(KernelPfOptions options)
    : options_(std::move(options)), vlan_(netlink_, options_.pf, options_.vlan) {
    for (auto const& name : options_.vfs) {
        auto const number = number_named(options_, name);
        if (!number)
            throw SteeringError(name + " is no VF of " + options_.pf +
                                    "; VFs are made before the server starts: echo 2 >" +
                                    (fs::path(options_.interfaces) / options_.pf / "device/sriov_numvfs").string(),
                                ENODEV);
        numbers_.push_back(*number);
    }
    for (auto const number : numbers_) {
        set_vlan(number, options_.vlan);
        auto const mac = netlink_.vf(options_.pf, number).mac;
        set_address(number, mac == no_address ? nobodys(number) : mac);
    }
    addresses_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (addresses_ < 0)
        throw SteeringError(std::string("opening a packet socket: ") + std::strerror(errno), errno);
}

KernelPfSteering::~KernelPfSteering() {
    close(addresses_);
}

std::uint16_t KernelPfSteering::number_of(std::uint16_t vf) const {
    require_vf(vf, numbers_.size());
    return numbers_[vf];
}

bool KernelPfSteering::is_there(std::uint16_t number) const {
    std::error_code error;
    return fs::is_symlink(link_to_vf(options_, number), error);
}

void KernelPfSteering::set_address(std::uint16_t number, VfMac const& mac) {
    netlink_.set_vf_mac(require_pf(netlink_, options_.pf).index, number, mac);
}

void KernelPfSteering::set_vlan(std::uint16_t number, std::uint16_t vlan) {
    if (netlink_.vf(options_.pf, number).vlan != vlan)
        netlink_.set_vf_vlan(require_pf(netlink_, options_.pf).index, number, vlan);
}

// Repeated by a caller who does not know: the kernel counts memberships, one is enough.
void KernelPfSteering::let_port_have(VfMac const& mac) {
    if (std::find(ports_.begin(), ports_.end(), mac) != ports_.end())
        return;
    if (int const error =
            change_membership(addresses_, PACKET_ADD_MEMBERSHIP, require_pf(netlink_, options_.pf).index, mac);
        error != 0)
        throw SteeringError("giving " + options_.pf + " another address: " + std::strerror(error), error);
    ports_.push_back(mac);
    if (ports_.size() > most_addresses + numbers_.size())
        let_port_lose(ports_.front());
}

void KernelPfSteering::let_port_lose(VfMac const& mac) {
    auto const found = std::find(ports_.begin(), ports_.end(), mac);
    if (found == ports_.end())
        return;
    VfMac const lost = *found;
    ports_.erase(found);
    change_membership(addresses_, PACKET_DROP_MEMBERSHIP, require_pf(netlink_, options_.pf).index,
                      lost);  // fails when the PF is another
}

std::vector<VfState> KernelPfSteering::vfs() {
    changes_.take();
    auto const pf = netlink_.find(options_.pf);
    std::vector<VfState> states;
    for (std::size_t vf = 0; vf < numbers_.size(); ++vf) {
        VfState state{options_.vfs[vf], pf && is_there(numbers_[vf]), pf && pf->operational};
        if (state.present) {
            state.traffic = netlink_.vf(options_.pf, numbers_[vf]).traffic;
            counted_ = counted_ || state.traffic != VfTraffic{};
        }
        states.push_back(std::move(state));
    }
    if (!counted_) {
        for (auto& state : states)
            state.traffic.reset();
    }
    return states;
}

// Where frames go does not change: a guest that goes on where an earlier server had it is steered to its VF already.
void KernelPfSteering::give(std::uint16_t vf, VfSettings const& settings) {
    std::uint16_t const number = number_of(vf);
    if (!is_there(number))
        throw SteeringError(options_.vfs[vf] + " is gone", ENODEV);
    set_vlan(number, settings.vlan);
    if (netlink_.vf(options_.pf, number).mac == settings.mac)
        return;
    let_port_have(settings.mac);
    set_address(number, nobodys(number));
}

void KernelPfSteering::steer_to_vf(std::uint16_t vf, VfMac const& mac) {
    std::uint16_t const number = number_of(vf);
    let_port_lose(mac);
    set_address(number, mac);
}

void KernelPfSteering::steer_to_port(VfMac const& mac) {
    for (auto const number : numbers_) {
        if (is_there(number) && netlink_.vf(options_.pf, number).mac == mac)
            set_address(number, nobodys(number));
    }
    let_port_have(mac);
}

void KernelPfSteering::take(std::uint16_t vf, VfMac const&) {
    std::uint16_t const number = number_of(vf);
    if (is_there(number))
        set_address(number, nobodys(number));
}

}  // namespace librettos
