// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/nic/ixgbe_steering.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

#include <rte_ethdev.h>
extern "C" {
#include <rte_pmd_ixgbe.h>  // has no extern "C" of its own
}

#include "drivers/nic/interrupt_thread.hpp"
#include "drivers/nic/ixgbe_link.hpp"
#include "drivers/nic/pci_device.hpp"
#include "drivers/nic/vf_mailbox_policy.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t mailbox_words = 16;
constexpr std::uint64_t all_queues = ~std::uint64_t{0};
constexpr std::uint32_t vf_reset = 1;  // the mailbox message
constexpr std::uint32_t crc_bytes = 4;
// DPDK takes up to a second to set a link up.
constexpr auto link_step = std::chrono::milliseconds(100), longest_without_link = std::chrono::milliseconds(3000);
constexpr std::uint16_t priority_only = 0;  // the VLAN of tags that name none

// 7.10.3.2: 128 queues for 16, 32 or 64 pools, one of which is the port's.
unsigned queues_per_vf(std::size_t vfs) {
    return vfs < 16 ? 8 : vfs < 32 ? 4 : 2;
}

void require(int result, std::string const& what) {
    if (result != 0)
        throw SteeringError(what + ": " + std::strerror(-result), -result);
}

// PCI addresses, by number.
std::vector<std::string> functions_of(std::string const& pf, unsigned count) {
    std::vector<std::string> functions;
    for (unsigned vf = 0; vf < count; ++vf) {
        std::error_code error;
        auto const link = pci_devices() / pf / ("virtfn" + std::to_string(vf));
        functions.push_back(std::filesystem::read_symlink(link, error).filename().string());
    }
    return functions;
}

rte_ether_addr ether_address(VfMac const& mac) {
    rte_ether_addr address;
    std::copy(mac.begin(), mac.end(), std::begin(address.addr_bytes));
    return address;
}

}  // namespace

// As DPDK calls it, in its interrupt thread.
struct IxgbeEvents {
    static int message(std::uint16_t, rte_eth_event_type, void* self, void* event) {
        auto* const asked = static_cast<rte_pmd_ixgbe_mb_event_param*>(event);
        auto const* const words = static_cast<std::uint32_t const*>(asked->msg);
        switch (static_cast<IxgbeSteering*>(self)->on_message(asked->vfid, {words, mailbox_words})) {
            case MailboxVerdict::grant:
                asked->retval = RTE_PMD_IXGBE_MB_EVENT_PROCEED;
                break;
            case MailboxVerdict::acknowledge:
                asked->retval = RTE_PMD_IXGBE_MB_EVENT_NOOP_ACK;
                break;
            case MailboxVerdict::refuse:
                asked->retval = RTE_PMD_IXGBE_MB_EVENT_NOOP_NACK;
        }
        return 0;
    }
    static int link(std::uint16_t, rte_eth_event_type, void* self, void*) {
        static_cast<IxgbeSteering*>(self)->wake();
        return 0;
    }
};

IxgbeSteering::IxgbeSteering(IxgbeOptions options) : options_(std::move(options)) {
    rte_eth_dev_info info{};
    require(rte_eth_dev_info_get(options_.port_id, &info), options_.pf + " tells nothing about itself");
    if (std::string_view(info.driver_name) != "net_ixgbe")
        throw SteeringError(options_.pf + " is driven by " + info.driver_name + ", not by net_ixgbe", ENOTSUP);
    if (info.max_vfs == 0)
        throw SteeringError(
            options_.pf + " has no VFs; make some before the server starts: echo 2 >" +
                (pci_devices() / options_.pf / "sriov_numvfs").string() +
                " (each takes its share of the NIC's 128 queues: 8 each up to 15 VFs, 4 up to 31, else 2)",
            ENODEV);
    std::uint16_t mtu = 0;
    require(rte_eth_dev_get_mtu(options_.port_id, &mtu), options_.pf + " has no MTU");
    most_frame_bytes_ = static_cast<std::uint16_t>(mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN);
    for (auto const& name : functions_of(options_.pf, info.max_vfs))
        vfs_.push_back({.name = name});
    choose_vfs();
    changes_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (changes_fd_ < 0)
        throw SteeringError("an eventfd cannot be had", errno);
    try {
        in_interrupt_thread([this] { set_up(); });
    } catch (...) {
        close(changes_fd_);
        throw;
    }
}

void IxgbeSteering::choose_vfs() {
    for (auto const& name : options_.vfs) {
        auto const found = std::find_if(vfs_.begin(), vfs_.end(), [&](Vf const& vf) { return vf.name == name; });
        if (found == vfs_.end())
            throw SteeringError(name + " is no VF of " + options_.pf + "; see those there are with: ls -l " +
                                    (pci_devices() / options_.pf).string() + "/virtfn*",
                                ENODEV);
        numbers_.push_back(static_cast<std::uint16_t>(found - vfs_.begin()));
    }
}

void IxgbeSteering::set_up() {
    require(rte_eth_promiscuous_enable(options_.port_id), options_.pf + " does not become promiscuous");
    require(rte_pmd_ixgbe_set_all_queues_drop_en(options_.port_id, 1), "dropping for full queues");
    for (std::uint16_t vf = 0; vf < vfs_.size(); ++vf) {
        require(rte_pmd_ixgbe_set_vf_mac_anti_spoof(options_.port_id, vf, 1), "checking what VFs send");
        require(rte_pmd_ixgbe_set_vf_vlan_anti_spoof(options_.port_id, vf, 1), "checking the tags of what VFs send");
        enable(vf, false);
    }
    filter_vlans();
    rte_eth_dev_callback_register(options_.port_id, RTE_ETH_EVENT_VF_MBOX, IxgbeEvents::message, this);
    rte_eth_dev_callback_register(options_.port_id, RTE_ETH_EVENT_INTR_LSC, IxgbeEvents::link, this);
}

IxgbeSteering::~IxgbeSteering() {
    in_interrupt_thread([this] {
        rte_eth_dev_callback_unregister(options_.port_id, RTE_ETH_EVENT_VF_MBOX, IxgbeEvents::message, this);
        rte_eth_dev_callback_unregister(options_.port_id, RTE_ETH_EVENT_INTR_LSC, IxgbeEvents::link, this);
    });
    close(changes_fd_);
}

// Of the NIC's VFs.
std::uint16_t IxgbeSteering::number_of(std::uint16_t vf) const {
    require_vf(vf, numbers_.size());
    return numbers_[vf];
}

std::vector<VfState> IxgbeSteering::vfs() {
    eventfd_t none = 0;
    eventfd_read(changes_fd_, &none);
    std::vector<VfState> states;
    in_interrupt_thread([&] {
        bool const port_is_up = ixgbe_link(options_.port_id, options_.registers).up;
        for (std::uint16_t const number : numbers_)
            states.push_back(look_at(number, port_is_up));
    });
    return states;
}

bool IxgbeSteering::is_present(std::uint16_t number) const {
    std::error_code error;
    bool const listed =
        std::filesystem::exists(pci_devices() / options_.pf / ("virtfn" + std::to_string(number)), error);
    return listed && (!options_.registers || options_.registers->answers());
}

VfState IxgbeSteering::look_at(std::uint16_t number, bool port_is_up) {
    Vf& vf = vfs_[number];
    VfState state{vf.name, is_present(number)};
    if (!state.present) {
        vf.in_use = vf.receiving = vf.down = vf.interrupted = vf.counted = false;
        return state;
    }
    if (options_.registers) {
        bool const receives = options_.registers->receives(number, queues_per_vf(vfs_.size()));
        vf.down = !receives && (vf.down || vf.receiving);
        vf.receiving = vf.in_use && receives;
        count(vf, options_.registers->traffic(number));
        auto const received = vf.received_frames.total(), sent = vf.sent_frames.total();
        state.traffic = {received, vf.received_bytes.total() - crc_bytes * received, sent,
                         vf.sent_bytes.total() - crc_bytes * sent};
    }
    bool const interrupted = std::exchange(vf.interrupted, false);
    if (interrupted)
        wake();
    state.link_up = port_is_up && vf.in_use && !vf.down && !interrupted;
    return state;
}

void IxgbeSteering::count(Vf& vf, VfTraffic const& now) {
    for (auto const& [counter, value] :
         {std::pair(&vf.received_frames, now.received_frames), std::pair(&vf.received_bytes, now.received_bytes),
          std::pair(&vf.sent_frames, now.sent_frames), std::pair(&vf.sent_bytes, now.sent_bytes)}) {
        if (vf.counted)
            counter->see(value);
        else
            counter->start(value);
    }
    vf.counted = vf.in_use && !vf.down;
}

void IxgbeSteering::enable(std::uint16_t number, bool on) const {
    std::string const what = (on ? "letting go " : "stopping ") + vfs_[number].name;
    require(rte_pmd_ixgbe_set_vf_rx(options_.port_id, number, on ? 1 : 0), what);
    require(rte_pmd_ixgbe_set_vf_tx(options_.port_id, number, on ? 1 : 0), what);
}

// Without the filter every pool receives every VLAN's frames.
void IxgbeSteering::filter_vlans() const {
    int const offloads = rte_eth_dev_get_vlan_offload(options_.port_id);
    require(std::min(offloads, 0), options_.pf + " tells nothing about its VLANs");
    require(rte_eth_dev_set_vlan_offload(options_.port_id, offloads | RTE_ETH_VLAN_FILTER_OFFLOAD),
            options_.pf + " does not filter VLANs");
    admit(options_.vlan, static_cast<std::uint16_t>(vfs_.size()), true);
    for (std::uint16_t number = 0; number < vfs_.size(); ++number)
        admit(priority_only, number, true);
}

void IxgbeSteering::admit(std::uint16_t vlan, std::uint16_t pool, bool admitted) const {
    require(rte_pmd_ixgbe_set_vf_vlan_filter(options_.port_id, vlan, std::uint64_t{1} << pool, admitted ? 1 : 0),
            "a VLAN into the NIC's table, of 64");
}

void IxgbeSteering::move_to_vlan(std::uint16_t number, std::uint16_t vlan) {
    Vf& vf = vfs_[number];
    if (vlan != 0 && !options_.registers)
        throw SteeringError(options_.pf + "'s registers are not seen, so that a VF could leave its VLAN", ENOTSUP);
    if (vf.vlan != vlan) {
        admit(vlan, number, true);
        admit(vf.vlan, number, false);
        vf.vlan = vlan;
    }
    require(hold_in_vlan(number), "the tag of what " + vf.name + " sends and receives");
}

// What DPDK undoes when the VF resets itself. 0 or -errno.
int IxgbeSteering::hold_in_vlan(std::uint16_t number) const {
    std::uint16_t const vlan = vfs_[number].vlan;
    if (int const error = rte_pmd_ixgbe_set_vf_vlan_insert(options_.port_id, number, vlan); error != 0)
        return error;
    return rte_pmd_ixgbe_set_vf_rxmode(options_.port_id, number, RTE_ETH_VMDQ_ACCEPT_UNTAG, vlan == 0 ? 1 : 0);
}

bool IxgbeSteering::sends(std::uint16_t number) const {
    return options_.registers && options_.registers->sends(number, queues_per_vf(vfs_.size()));
}

// False: not yet, DPDK does not know of the link that there is, and measures rates by it.
bool IxgbeSteering::limit_rate(std::uint16_t number) const {
    if (options_.rate_mbps == 0)
        return true;
    if (ixgbe_link(options_.port_id, options_.registers).stale)
        refresh_ixgbe_link(options_.port_id);
    int const error = rte_pmd_ixgbe_set_vf_rate_limit(options_.port_id, number, options_.rate_mbps, all_queues);
    if (error != 0 && ixgbe_link(options_.port_id, options_.registers).stale)
        return false;
    require(error, "limiting each queue of " + vfs_[number].name + " to " + std::to_string(options_.rate_mbps) +
                       " Mb/s (is the link up, and are the limits of all VFs' queues together within its speed?)");
    return true;
}

void IxgbeSteering::give(std::uint16_t vf, VfSettings const& settings) {
    std::uint16_t const number = number_of(vf);
    bool given = false;
    for (auto waited = std::chrono::milliseconds(0); !given; waited += link_step) {
        if (waited > longest_without_link)
            throw SteeringError("DPDK takes the link of " + options_.pf + ", which is up, for down", EAGAIN);
        if (waited.count() != 0)
            std::this_thread::sleep_for(link_step);
        in_interrupt_thread([&] {
            given = limit_rate(number);
            if (!given)
                return;
            move_to_vlan(number, settings.vlan);
            enable(number, true);
            vfs_[number].given = true;
            vfs_[number].mac = settings.mac;
        });
    }
}

void IxgbeSteering::steer(VfMac const& mac, std::uint16_t pool) {
    in_interrupt_thread([&] {
        if (auto const steered = pool_of_.find(mac); steered != pool_of_.end() && steered->second == pool)
            return;
        rte_ether_addr address = ether_address(mac);
        require(rte_eth_dev_mac_addr_remove(options_.port_id, &address), "taking an address out of the NIC's table");
        pool_of_.erase(mac);
        require(rte_eth_dev_mac_addr_add(options_.port_id, &address, pool),
                "an address into the NIC's table, of 128 for all guests");
        pool_of_[mac] = pool;
    });
}

void IxgbeSteering::steer_to_vf(std::uint16_t vf, VfMac const& mac) {
    steer(mac, number_of(vf));
}

void IxgbeSteering::steer_to_port(VfMac const& mac) {
    steer(mac, static_cast<std::uint16_t>(vfs_.size()));
}

void IxgbeSteering::take(std::uint16_t vf, VfMac const&) {
    std::uint16_t const number = number_of(vf);
    in_interrupt_thread([&] {
        Vf& taken = vfs_[number];
        taken.given = taken.in_use = taken.receiving = taken.down = taken.interrupted = false;
        enable(number, false);
        for (auto steered = pool_of_.begin(); steered != pool_of_.end();) {
            if (steered->second != number) {
                ++steered;
                continue;
            }
            rte_ether_addr address = ether_address(steered->first);
            rte_eth_dev_mac_addr_remove(options_.port_id, &address);
            steered = pool_of_.erase(steered);
        }
    });
}

std::uint64_t IxgbeSteering::refused() const {
    std::uint64_t count = 0;
    in_interrupt_thread([&] { count = refused_; });
    return count;
}

void IxgbeSteering::wake() const {
    static_cast<void>(eventfd_write(changes_fd_, 1));
}

// A VF's reset has been carried out when it is told here: its user is there, and its queues will work.
MailboxVerdict IxgbeSteering::on_message(std::uint16_t number, std::span<std::uint32_t const> message) {
    if (number >= vfs_.size())
        return MailboxVerdict::refuse;
    Vf& vf = vfs_[number];
    auto const verdict = judge_mailbox_message(message, {vf.given, vf.mac, most_frame_bytes_});
    refused_ += verdict == MailboxVerdict::refuse ? 1 : 0;
    bool const reset = !message.empty() && (message[0] & 0xffff) == vf_reset;
    bool const held = !reset || hold_in_vlan(number) == 0;
    if (reset && vf.given && (!held || (vf.vlan != 0 && sends(number)))) {
        vf.given = vf.in_use = false;
        ++refused_;
        wake();
    }
    if (!vf.given) {
        rte_pmd_ixgbe_set_vf_rx(options_.port_id, number, 0);
        rte_pmd_ixgbe_set_vf_tx(options_.port_id, number, 0);
        return verdict;
    }
    bool const interrupted = reset && std::exchange(vf.receiving, false);
    vf.interrupted = vf.interrupted || interrupted;
    vf.counted = vf.counted && !reset;  // its counters may begin anew
    bool const back = reset && std::exchange(vf.down, false);
    if (!std::exchange(vf.in_use, true) || interrupted || back)
        wake();
    return verdict;
}

}  // namespace librettos
