// SPDX-License-Identifier: BSD-2-Clause
// Opens the sockets of an interface and puts them behind DPDK's port.
#include "drivers/nic/packet_port.hpp"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "drivers/nic/packet_queue.hpp"
#include "drivers/nic/preflight.hpp"

namespace librettos {
namespace {

constexpr int room_per_descriptor_bytes = 8192;  // the kernel counts its own structures, too

[[noreturn]] void fail(std::string const& what, int error) {
    throw NicError(what + ": " + std::strerror(error) + (error == EPERM ? "; run this as root (CAP_NET_RAW)" : ""));
}

template <typename Value>
void set_option(int socket, int level, int option, char const* name, Value const& value) {
    if (setsockopt(socket, level, option, &value, sizeof value) != 0) {
        fail("packet socket: " + std::string(name), errno);
    }
}

// Beyond the system's limit where we may.
void set_room(int socket, int forced, int option, int bytes) {
    if (setsockopt(socket, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0) {
        set_option(socket, SOL_SOCKET, option, "its room", bytes);
    }
}

// The sockets of one group share the interface's frames, a flow's always in the same. Not put together: fragments are
// handed on as they come.
class Group {
  public:
    void join(int socket) {
        set_option(socket, SOL_PACKET, PACKET_FANOUT, "PACKET_FANOUT", argument_);
        socklen_t length = sizeof argument_;
        if (getsockopt(socket, SOL_PACKET, PACKET_FANOUT, &argument_, &length) != 0) {
            fail("packet socket: its group", errno);
        }
        argument_ &= ~(PACKET_FANOUT_FLAG_UNIQUEID << type_at);
    }

  private:
    static constexpr int type_at = 16;
    int argument_ = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << type_at;
};

std::uint16_t receive_callback(std::uint16_t, std::uint16_t, rte_mbuf** frames, std::uint16_t, std::uint16_t most,
                               void* queue) {
    return static_cast<PacketQueue*>(queue)->receive({frames, most});
}

std::uint16_t send_callback(std::uint16_t, std::uint16_t, rte_mbuf** frames, std::uint16_t count, void* queue) {
    return static_cast<PacketQueue*>(queue)->send({frames, count});
}

}  // namespace

PacketPort::PacketPort(std::string const& interface, PortOptions const& options, std::uint16_t queues,
                       rte_mempool* pool) {
    Group group;
    for (std::uint16_t i = 0; i < queues; ++i) {
        int const socket = sockets_.emplace_back(open(interface, options)).get();
        if (queues > 1) {
            group.join(socket);
        }
        std::unique_ptr<void, decltype(&rte_free)> room(
            rte_zmalloc("packet queue", sizeof(PacketQueue), alignof(PacketQueue)), rte_free);
        if (!room) {
            throw NicError("no memory for the queues of " + interface + "; write a larger port.memory_mib");
        }
        queues_.emplace_back(new (room.get()) PacketQueue(socket, pool));
        room.release();
    }
}

PacketPort::~PacketPort() {
    release();
}

void PacketPort::FreeQueue::operator()(PacketQueue* queue) const {
    std::destroy_at(queue);
    rte_free(queue);
}

std::vector<int> PacketPort::sockets() const {
    std::vector<int> fds;
    for (UniqueFd const& socket : sockets_) {
        fds.push_back(socket.get());
    }
    return fds;
}

UniqueFd PacketPort::open(std::string const& interface, PortOptions const& options) {
    UniqueFd made(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // nothing comes before it is bound
    if (!made) {
        fail("packet socket", errno);
    }
    int const fd = made.get();
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFINDEX, &request) != 0) {
        fail("interface " + interface, errno);
    }
    index_ = request.ifr_ifindex;
    if (ioctl(fd, SIOCGIFHWADDR, &request) != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        throw NicError("interface " + interface + " is no Ethernet interface; see: ip link");
    }
    std::copy_n(request.ifr_hwaddr.sa_data, mac_.size(), mac_.begin());
    request.ifr_mtu = options.mtu_bytes;
    if (ioctl(fd, SIOCSIFMTU, &request) != 0) {
        fail("interface " + interface + " does not take port.mtu_bytes = " + std::to_string(options.mtu_bytes) +
                 ", see its limit with \"ip -d link show " + interface + "\"",
             errno);
    }
    constexpr int on = 1;
    set_option(fd, SOL_PACKET, PACKET_VNET_HDR, "PACKET_VNET_HDR", on);
    set_option(fd, SOL_PACKET, PACKET_AUXDATA, "PACKET_AUXDATA", on);
    set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING (needs Linux 4.20)", on);
    int const room_bytes = options.descriptors * room_per_descriptor_bytes;
    set_room(fd, SO_RCVBUFFORCE, SO_RCVBUF, room_bytes);
    set_room(fd, SO_SNDBUFFORCE, SO_SNDBUF, room_bytes);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = index_;
    if (bind(fd, reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) {
        fail("packet socket on " + interface, errno);
    }
    return made;
}

void PacketPort::take_over(std::uint16_t port_id) {
    port_id_ = port_id;
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
        callbacks_.push_back({rte_eth_add_rx_callback(port_id, i, receive_callback, queues_[i].get()), nullptr});
        callbacks_.back().send = rte_eth_add_tx_callback(port_id, i, send_callback, queues_[i].get());
        if (callbacks_.back().receive == nullptr || callbacks_.back().send == nullptr) {
            throw NicError("DPDK takes no callbacks (" + std::string(rte_strerror(rte_errno)) +
                           "); it has to be built with RTE_ETHDEV_RXTX_CALLBACKS, as Debian's is");
        }
    }
}

void PacketPort::release() noexcept {
    for (std::uint16_t i = 0; i < callbacks_.size(); ++i) {
        rte_eth_remove_rx_callback(port_id_, i, callbacks_[i].receive);
        rte_eth_remove_tx_callback(port_id_, i, callbacks_[i].send);
    }
    callbacks_.clear();
}

int PacketPort::join(int membership) const {
    packet_mreq request{};
    request.mr_ifindex = index_;
    request.mr_type = static_cast<unsigned short>(membership);
    return setsockopt(sockets_.front().get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0
               ? 0
               : -errno;
}

int PacketPort::receive_all_multicast() const {
    return join(PACKET_MR_ALLMULTI);
}

int PacketPort::receive_everything() const {
    return join(PACKET_MR_PROMISC);
}

PortLosses PacketPort::losses() {
    for (UniqueFd const& socket : sockets_) {
        tpacket_stats since_last_time{};
        socklen_t length = sizeof since_last_time;
        if (getsockopt(socket.get(), SOL_PACKET, PACKET_STATISTICS, &since_last_time, &length) == 0) {
            dropped_ += since_last_time.tp_drops;
        }
    }
    PortLosses lost{.missed = dropped_};
    for (auto const& queue : queues_) {
        lost.missed += queue->without_buffers();
        lost.merged += queue->merged();
    }
    return lost;
}

}  // namespace librettos
