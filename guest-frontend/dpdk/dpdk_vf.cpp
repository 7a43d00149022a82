// SPDX-License-Identifier: BSD-2-Clause
// The VF's life; dpdk_vf_frames.cpp has its frames.
#include "guest-frontend/dpdk/dpdk_vf.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "guest-frontend/dpdk/eal.hpp"
#include "guest-frontend/process/say.hpp"

namespace librettos::guest {

namespace {

constexpr auto look_at_link_every = std::chrono::milliseconds(50);
// All that an 82599 has: frames come while this process waits for a processor.
constexpr std::uint16_t rx_descriptors = 4096;
// On the way back to the rings frames wait until the VF has sent these.
constexpr std::uint16_t tx_descriptors = 256;
constexpr unsigned pool_frames = 16383;  // in both queues, and those that wait for COMMIT: 200 ms of 60,000 in a second
constexpr std::uint32_t buffer_unit = 1024;  // of an 82599's receive buffers

// What fits a frame of that MTU in one piece.
std::uint32_t buffer_bytes(std::uint16_t mtu_bytes) {
    std::uint32_t const frame = mtu_bytes + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    return (frame + buffer_unit - 1) / buffer_unit * buffer_unit + RTE_PKTMBUF_HEADROOM;
}

unsigned memory_mib(std::uint16_t mtu_bytes) {
    constexpr unsigned bookkeeping_mib = 32, header_bytes = 256;
    return bookkeeping_mib + (pool_frames * (buffer_bytes(mtu_bytes) + header_bytes) >> 20);
}

void require(int result, std::string const& tried) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), tried);
    }
}

int note_reset(std::uint16_t, rte_eth_event_type, void* flag, void*) {
    static_cast<std::atomic<bool>*>(flag)->store(true, std::memory_order_relaxed);
    return 0;
}

constexpr rte_eth_event_type ends[] = {RTE_ETH_EVENT_INTR_RESET, RTE_ETH_EVENT_INTR_RMV};

}  // namespace

DpdkVf::DpdkVf(std::string pci_address) : pci_address_(std::move(pci_address)) {
}

DpdkVf::~DpdkVf() {
    down();
}

int DpdkVf::up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
    if (vlan != 0) {
        say("the server's VF wants VLAN tags of its guest, which are not made here");
        return LVIF_EOPNOTSUPP;
    }
    if (!started_ && !starting_.valid()) {
        mac_ = mac;
        mtu_bytes_ = mtu_bytes;
        starting_ = std::async(std::launch::async, [this] { start(); });
    }
    if (!started_) {
        if (starting_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            return 0;
        }
        try {
            starting_.get();
        } catch (std::system_error const& error) {
            say("the VF " + pci_address_ + " cannot be used: " + error.what());
            return error.code().value() > 0 ? -error.code().value() : LVIF_EIO;
        }
        started_ = true;
    }
    had_link_ = has_link();
    return had_link_ ? 1 : 0;
}

// In a thread of its own, while nobody else does anything with the VF.
void DpdkVf::start() {
    start_eal(memory_mib(mtu_bytes_));
    std::string const pool_name = "lvif" + std::to_string(buffer_bytes(mtu_bytes_));
    pool_ = rte_mempool_lookup(pool_name.c_str());
    if (pool_ == nullptr) {
        pool_ = rte_pktmbuf_pool_create(pool_name.c_str(), pool_frames, 0, 0,
                                        static_cast<std::uint16_t>(buffer_bytes(mtu_bytes_)), SOCKET_ID_ANY);
    }
    require(pool_ != nullptr ? 0 : -rte_errno, "have memory for its frames");
    attach();
    set_up_queues();
    require(rte_eth_dev_start(port_), "start it (does the PF answer?)");
    event_fd_ = rte_eth_dev_rx_intr_ctl_q_get_fd(port_, 0);
    if (int const result = rte_eth_allmulticast_enable(port_); result < 0) {
        say("the VF " + pci_address_ + " receives no multicasts: the PF refuses");
    }
    sent_ = seen_left_ = 0;
    watch_.begin();
}

void DpdkVf::attach() {
    require(rte_dev_probe(pci_address_.c_str()), "find it (is it there, bound to vfio-pci, and nobody else's?)");
    attached_ = true;
    require(rte_eth_dev_get_port_by_name(pci_address_.c_str(), &port_), "find a driver for it");
    reset_by_pf_.store(false, std::memory_order_relaxed);
    for (auto const event : ends) {
        rte_eth_dev_callback_register(port_, event, note_reset, &reset_by_pf_);
    }
}

void DpdkVf::set_up_queues() {
    rte_eth_dev_info info{};
    require(rte_eth_dev_info_get(port_, &info), "ask what it can");
    rte_eth_conf wanted{};
    wanted.rxmode.mtu = mtu_bytes_;
    // Of the VLAN that the VF is in, if any: guests have none.
    wanted.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
    wanted.intr_conf.rxq = 1;
    require(rte_eth_dev_configure(port_, 1, 1, &wanted), "configure it");
    rte_eth_rxconf rx = info.default_rxconf;
    rx.offloads = wanted.rxmode.offloads;
    std::uint16_t receive = rx_descriptors, send = tx_descriptors;
    require(rte_eth_dev_adjust_nb_rx_tx_desc(port_, &receive, &send), "size its queues");
    require(rte_eth_rx_queue_setup(port_, 0, receive, SOCKET_ID_ANY, &rx, pool_), "set up its receive queue");
    rte_eth_txconf tx = info.default_txconf;
    tx.tx_rs_thresh = 1;  // each frame is reported when it has left: sent_all() wants to know
    require(rte_eth_tx_queue_setup(port_, 0, send, SOCKET_ID_ANY, &tx), "set up its send queue");
    tx_descriptors_ = send;
}

void DpdkVf::down() {
    if (starting_.valid()) {
        starting_.wait();
        starting_ = {};
    }
    started_ = had_link_ = false;
    event_fd_ = -1;
    detach();
}

void DpdkVf::detach() noexcept {
    rte_pktmbuf_free_bulk(pending_.data(), pending_count_);
    pending_count_ = 0;
    rte_pktmbuf_free(std::exchange(reserved_, nullptr));
    forget_given();
    int const waiting = attached_ ? rte_eth_rx_queue_count(port_, 0) : 0;
    if (auto const left = gathered_.size() + static_cast<std::size_t>(std::max(waiting, 0)); left != 0) {
        say("the VF " + pci_address_ + " is left with " + std::to_string(left) +
            " received frames in it: they are lost");
    }
    for (rte_mbuf* const frame : gathered_) {
        rte_pktmbuf_free(frame);
    }
    gathered_.clear();
    if (!std::exchange(attached_, false)) {
        return;
    }
    rte_eth_dev_info info{};
    bool const known = rte_eth_dev_info_get(port_, &info) == 0;
    for (auto const event : ends) {
        rte_eth_dev_callback_unregister(port_, event, note_reset, &reset_by_pf_);
    }
    rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    if (int const result = known ? rte_dev_remove(info.device) : 0; result < 0) {
        say("the VF " + pci_address_ + " stays ours: " + std::system_category().message(-result));
    }
}

bool DpdkVf::has_link() const {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool DpdkVf::gone() {
    if (!started_) {
        return false;
    }
    if (auto const now = Clock::now(); had_link_ && now >= look_at_link_) {
        look_at_link_ = now + look_at_link_every;
        if (!has_link()) {
            return true;
        }
    }
    return reset_by_pf_.load(std::memory_order_relaxed);
}

}  // namespace librettos::guest
