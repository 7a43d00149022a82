// SPDX-License-Identifier: BSD-2-Clause
// Port set-up and the few control operations that stay with the holder.
#include "drivers/nic/port.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include "drivers/nic/device.hpp"
#include "drivers/nic/eal_log.hpp"
#include "drivers/nic/interrupt_thread.hpp"
#include "drivers/nic/ixgbe_link.hpp"
#include "drivers/nic/pci_device.hpp"
#include "drivers/nic/preflight.hpp"
#include "drivers/nic/realtime_signals.hpp"
#include "drivers/nic/wait_fds.hpp"

namespace librettos {
namespace {

constexpr unsigned cache_buffers = 256;
constexpr std::uint16_t frame_overhead_bytes = 14 + 4 + 4;  // Ethernet header, one VLAN tag, CRC

// Symmetric Toeplitz key: both directions of a flow land on the same queue.
constexpr std::size_t rss_key_room = 64;
constexpr std::array<std::uint8_t, rss_key_room> make_rss_key() {
    std::array<std::uint8_t, rss_key_room> key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = i % 2 == 0 ? 0x6d : 0x5a;
    }
    return key;
}
std::array<std::uint8_t, rss_key_room> rss_key = make_rss_key();

[[noreturn]] void fail(std::string const& what, int error) {
    std::string const said = last_eal_complaints();
    throw NicError(what + ": " + rte_strerror(error < 0 ? -error : error) +
                   (said.empty() ? "" : "; DPDK said: " + said));
}

// Whole frames in one segment; the 82599 takes receive buffers in units of 1 KiB.
std::uint16_t data_room_bytes(std::uint16_t mtu_bytes) {
    constexpr unsigned unit = 1024;
    unsigned const frame = (mtu_bytes + frame_overhead_bytes + unit - 1) / unit * unit;
    return static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + frame);
}

rte_eth_dev_info device_info(std::uint16_t port) {
    rte_eth_dev_info info{};
    if (int const error = rte_eth_dev_info_get(port, &info); error != 0) {
        fail("the port tells nothing about itself", error);
    }
    return info;
}

bool is_virtio_user(std::string const& driver) {
    return driver == "net_virtio_user";
}

// A frame that a port merged is of use only with the size of its segments.
bool says_what_it_merged(std::string const& driver) {
    return is_virtio_user(driver);
}

bool takes_buffers_of_largest_frame(rte_eth_dev_info const& info, std::uint16_t mtu_bytes) {
    constexpr unsigned largest_frame_bytes = 65536 + frame_overhead_bytes;
    unsigned const room = data_room_bytes(mtu_bytes) - RTE_PKTMBUF_HEADROOM;
    unsigned const most = info.tx_desc_lim.nb_seg_max;
    return most == 0 || (largest_frame_bytes + room - 1) / room <= most;
}

std::string queue_advice(Device const& device, unsigned threads) {
    std::string const n = std::to_string(threads);
    if (device.driver == "net_af_xdp") {
        return "give the interface " + n + " queues (ethtool -L) and write \"" + device.text + ",queue_count=" + n +
               "\"";
    }
    return "write a smaller data.threads";
}

int notify_link_change(std::uint16_t, rte_eth_event_type, void* fd, void*) {
    return eventfd_write(*static_cast<int*>(fd), 1);
}

// The PF of an Intel NIC with VFs: their pools are numbered before its own. 0: no such.
std::uint32_t pool_beside_vfs(rte_eth_dev_info const& info) {
    std::string_view const driver = info.driver_name;
    return driver == "net_ixgbe" || driver == "net_e1000_igb" ? info.max_vfs : 0;
}

rte_ether_addr ether_address(std::array<std::uint8_t, 6> const& mac) {
    rte_ether_addr address;
    std::copy(mac.begin(), mac.end(), std::begin(address.addr_bytes));
    return address;
}

}  // namespace

Port::Port(PortOptions const& options, std::uint16_t queues, Eal const& eal) : eal_(eal) {
    Device const device(options.device);
    if (int const error = rte_eth_dev_get_port_by_name(device.name.c_str(), &description_.port_id); error != 0) {
        fail("DPDK made no port of \"" + options.device + "\"; is its driver installed (librte-net-*)?", error);
    }
    description_.device = options.device;
    interface_ = device.driver == "net_af_xdp" ? device.argument("iface") : device.interface;
    try {
        link_changed_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (link_changed_fd_ < 0) {
            throw std::system_error(errno, std::generic_category(), "eventfd");
        }
        create_pool(options);
        configure(options, queues);
        set_up_queues(options);
        start(options);
    } catch (...) {
        close();
        throw;
    }
}

Port::~Port() {
    close();
}

void Port::close() noexcept {
    rte_eth_dev_callback_unregister(description_.port_id, RTE_ETH_EVENT_INTR_LSC, notify_link_change,
                                    &link_changed_fd_);
    if (packets_) {
        packets_->release();
    }
    rte_eth_dev_stop(description_.port_id);
    rte_eth_dev_close(description_.port_id);
    packets_.reset();
    rte_mempool_free(pool_);
    if (link_changed_fd_ >= 0) {
        ::close(link_changed_fd_);
    }
}

void Port::create_pool(PortOptions const& options) {
    int const socket = eal_.buffer_socket(std::max(0, rte_eth_dev_socket_id(description_.port_id)));
    pool_ = rte_pktmbuf_pool_create("frames", options.buffers, cache_buffers, 0, data_room_bytes(options.mtu_bytes),
                                    socket);
    if (pool_ == nullptr) {
        fail("no room for " + std::to_string(options.buffers) + " buffers in " + std::to_string(options.memory_mib) +
                 " MiB; write a larger port.memory_mib or fewer port.buffers",
             rte_errno);
    }
}

void Port::configure(PortOptions const& options, std::uint16_t queues) {
    Device const device(options.device);
    std::uint16_t const port = description_.port_id;
    rte_eth_dev_info const info = device_info(port);
    unsigned const most = std::min(info.max_rx_queues, info.max_tx_queues);
    if (queues > most) {
        throw NicError("port \"" + options.device + "\" has " + std::to_string(most) + " queue pair(s) for " +
                       std::to_string(queues) + " data threads; " + queue_advice(device, queues));
    }
    std::uint16_t const mtu = options.mtu_bytes;
    if (device.interface.empty() &&
        (mtu > info.max_mtu || mtu + unsigned{RTE_ETHER_HDR_LEN} + RTE_ETHER_CRC_LEN > info.max_rx_pktlen)) {
        unsigned const frame_limit = info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
        throw NicError("port \"" + options.device + "\" takes no MTU above " +
                       std::to_string(std::min<unsigned>(info.max_mtu, frame_limit)) +
                       "; write that as port.mtu_bytes");
    }
    rte_eth_conf conf{};
    if (device.interface.empty()) {
        conf.rxmode.mtu = mtu;
    }
    constexpr std::uint64_t tx_wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                                        RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
                                        RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    std::uint64_t const rx_wanted =
        RTE_ETH_RX_OFFLOAD_CHECKSUM | (says_what_it_merged(device.driver) ? RTE_ETH_RX_OFFLOAD_TCP_LRO : 0);
    conf.rxmode.offloads = rx_wanted & info.rx_offload_capa;
    conf.txmode.offloads = tx_wanted & info.tx_offload_capa;
    conf.intr_conf.lsc = (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0 ? 1 : 0;
    own_pool_ = pool_beside_vfs(info);
    // Beside VFs DPDK's PF asks for the interrupts of queues that are VFs', and hears nothing of its own.
    bool const interrupts = device.pci && own_pool_ == 0 && eal_.has_queue_interrupts();
    conf.intr_conf.rxq = interrupts || is_virtio_user(device.driver) ? 1 : 0;
    if (queues > 1 && info.flow_type_rss_offloads != 0 && info.hash_key_size <= rss_key_room) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf =
            (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
        conf.rx_adv_conf.rss_conf.rss_key = info.hash_key_size == 0 ? nullptr : rss_key.data();
        conf.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size;
    }
    if (int const error = rte_eth_dev_configure(port, queues, queues, &conf); error != 0) {
        fail("port \"" + options.device + "\" does not take its configuration", error);
    }
    auto const tx_has = [&](std::uint64_t offloads) { return (conf.txmode.offloads & offloads) == offloads; };
    description_.driver = info.driver_name;
    description_.queues = queues;
    description_.mtu_bytes = mtu;
    description_.tx_ip_checksum = tx_has(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
    description_.tx_tcp_checksum = tx_has(RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    description_.tx_tso =
        tx_has(RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS) && takes_buffers_of_largest_frame(info, mtu);
    constexpr std::uint64_t rx_checksums = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    description_.rx_checksum = (conf.rxmode.offloads & rx_checksums) == rx_checksums;
    description_.rx_lro = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0;
    description_.survives_kills = !is_virtio_user(device.driver);
    description_.rx_interrupt = conf.intr_conf.rxq != 0;
    if (!device.interface.empty()) {
        description_.driver = "packet_socket";
        description_.tx_tso = description_.rx_checksum = description_.rx_lro = true;
    }
}

void Port::set_up_queues(PortOptions const& options) {
    std::uint16_t const id = description_.port_id;
    std::uint16_t rx_descriptors = options.descriptors;
    std::uint16_t tx_descriptors = options.descriptors;
    if (int const error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_descriptors, &tx_descriptors); error != 0) {
        fail("the port takes no queues of " + std::to_string(options.descriptors) + " descriptors", error);
    }
    auto const socket = static_cast<unsigned>(eal_.ring_socket(std::max(0, rte_eth_dev_socket_id(id))));
    RealtimeSignalsTaken const no_signal_for_net_tap;
    description_.wait_fds.assign(description_.queues, -1);
    for (std::uint16_t queue = 0; queue < description_.queues; ++queue) {
        std::set<int> const before = open_fds();
        if (int const error = rte_eth_rx_queue_setup(id, queue, rx_descriptors, socket, nullptr, pool_); error != 0) {
            fail("receive queue " + std::to_string(queue) + " cannot be set up", error);
        }
        if (int const error = rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket, nullptr); error != 0) {
            fail("transmit queue " + std::to_string(queue) + " cannot be set up", error);
        }
        if (auto const opened = frame_fds_since(before); !opened.empty()) {
            description_.wait_fds[queue] = opened.front();
        }
    }
    if (Device const device(options.device); !device.interface.empty()) {
        packets_ = std::make_unique<PacketPort>(device.interface, options, description_.queues, pool_);
        description_.wait_fds = packets_->sockets();
        return;
    }
    // Drivers that open their sockets when they are probed: one per queue, in order.
    if (std::count(description_.wait_fds.begin(), description_.wait_fds.end(), -1) == description_.queues) {
        auto const opened = frame_fds_since(eal_.fds_before());
        std::copy_n(opened.begin(), std::min<std::size_t>(opened.size(), description_.queues),
                    description_.wait_fds.begin());
    }
}

void Port::start(PortOptions const& options) {
    std::uint16_t const port = description_.port_id;
    rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, notify_link_change, &link_changed_fd_);
    RealtimeSignalsTaken const no_signal_for_net_tap;
    if (int const error = rte_eth_dev_start(port); error != 0) {
        fail("port \"" + options.device + "\" does not start", error);
    }
    come_before_vfs();
    if (description_.rx_interrupt) {
        for (std::uint16_t queue = 0; queue < description_.queues; ++queue) {
            description_.wait_fds[queue] = rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue);
            description_.rx_interrupt = description_.rx_interrupt && description_.wait_fds[queue] >= 0;
        }
    }
    rte_ether_addr address{};
    if (int const error = rte_eth_macaddr_get(port, &address); error != 0) {
        fail("the port has no MAC", error);
    }
    std::copy(std::begin(address.addr_bytes), std::end(address.addr_bytes), description_.mac.begin());
    if (packets_) {
        packets_->take_over(port);
        description_.mac = packets_->mac();
    }
    if (description_.driver == "net_ixgbe") {
        registers_ = IxgbeRegisters::find(Device(options.device).name, description_.mac);
    }
    if (options.promiscuous) {
        if (int const error = receive_everything(); error != 0) {
            fail("the port cannot be promiscuous; write port.promiscuous = false", error);
        }
    }
    // Guests' groups are sorted out in software; a port without it is promiscuous or has no filter.
    packets_ ? packets_->receive_all_multicast() : rte_eth_allmulticast_enable(port);
    spdlog::debug("port {} ({}): {} queue(s), {} descriptors found to wait on", description_.device,
                  description_.driver, description_.queues,
                  description_.queues - std::count(description_.wait_fds.begin(), description_.wait_fds.end(), -1));
}

// DPDK lets the pool of a PF with VFs receive only once a VF has reset itself. Nobody has used one since the PF was
// started, which took them all down.
void Port::come_before_vfs() {
    if (own_pool_ == 0) {
        return;
    }
    Device const device(description_.device);
    if (unsigned const failures = reset_vfs(device.name); failures != 0) {
        spdlog::warn(
            "{} of {} VFs of {} cannot be reset by the kernel; until one of them has been brought up by its user, the "
            "port may receive nothing",
            failures, own_pool_, device.name);
    }
}

LinkState Port::link() const {
    if (!interface_.empty()) {
        return interface_link(interface_);  // the driver reports what it wishes
    }
    rte_eth_link link{};
    rte_eth_link_get_nowait(description_.port_id, &link);
    LinkState state{link.link_status == RTE_ETH_LINK_UP,
                    link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed};
    if (registers_) {
        IxgbeLink const real = ixgbe_link(description_.port_id, registers_);
        state.up = real.up;
        if (real.stale) {
            refresh_ixgbe_link_soon(description_.port_id);
        }
    }
    return state;
}

PortLosses Port::losses() const {
    if (packets_) {
        return packets_->losses();
    }
    rte_eth_stats counted{};
    return rte_eth_stats_get(description_.port_id, &counted) == 0 ? PortLosses{.missed = counted.imissed}
                                                                  : PortLosses{};
}

int Port::add_mac(std::array<std::uint8_t, 6> const& mac) {
    // One that it has already stays where it is: its guest may have a VF.
    if (mac == description_.mac || added_.contains(mac)) {
        return 0;
    }
    int error = 0;
    beside_vfs([&] {
        rte_ether_addr address = ether_address(mac);
        error = rte_eth_dev_mac_addr_add(description_.port_id, &address, own_pool_);
    });
    if (error == -ENOTSUP || error == -ENOSPC) {
        return receive_everything();
    }
    if (error == 0) {
        added_.insert(mac);
    }
    return error;
}

int Port::remove_mac(std::array<std::uint8_t, 6> const& mac) {
    int error = 0;
    beside_vfs([&] {
        rte_ether_addr address = ether_address(mac);
        error = rte_eth_dev_mac_addr_remove(description_.port_id, &address);
    });
    added_.erase(mac);
    // A promiscuous port stays so: others may depend on it, and it costs a check per frame only.
    return error == -ENOTSUP || error == -EADDRINUSE ? 0 : error;
}

// Steering changes the same table.
void Port::beside_vfs(std::function<void()> const& change) const {
    if (own_pool_ == 0) {
        change();
    } else {
        in_interrupt_thread(change);
    }
}

int Port::receive_everything() const {
    return packets_ ? packets_->receive_everything() : rte_eth_promiscuous_enable(description_.port_id);
}

}  // namespace librettos
