// SPDX-License-Identifier: BSD-2-Clause
// Frames from and to a socket. The kernel takes VLAN tags out of frames on packet sockets: they are put back.
#include "tests/nic82599/wire_interface.hpp"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace nic82599 {
namespace {

constexpr std::size_t least_frame = 60, longest_frame = 16 * 1024;
// A wire does not wait for a processor, and a NIC takes what comes at once: a second of frames, for a machine that has
// other things to do.
constexpr int socket_bytes = 64 << 20;
constexpr int most_at_once = 64;  // before the end is looked for

void put_tag_back(Frame& frame, msghdr& message) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) {
            continue;
        }
        tpacket_auxdata auxiliary{};
        std::memcpy(&auxiliary, CMSG_DATA(part), sizeof auxiliary);
        if ((auxiliary.tp_status & TP_STATUS_VLAN_VALID) != 0) {
            std::uint8_t const tag[] = {0x81, 0x00, static_cast<std::uint8_t>(auxiliary.tp_vlan_tci >> 8),
                                        static_cast<std::uint8_t>(auxiliary.tp_vlan_tci)};
            frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
        }
    }
}

}  // namespace

int WireInterface::open_interface(std::string const& name) {
    int const fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
    packet_mreq promiscuous{};
    promiscuous.mr_ifindex = address.sll_ifindex;
    promiscuous.mr_type = PACKET_MR_PROMISC;
    int const one = 1;
    for (int const room : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
        setsockopt(fd, SOL_SOCKET, room, &socket_bytes, sizeof socket_bytes);
    }
    bool const done = fd >= 0 && address.sll_ifindex != 0 &&
                      setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) == 0 &&
                      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) == 0 &&
                      setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0 &&
                      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    if (!done) {
        int const error = errno;
        if (fd >= 0) {
            close(fd);
        }
        throw std::system_error(error, std::generic_category(),
                                "the NIC's wire cannot be interface " + name + " (see: ip link)");
    }
    return fd;
}

WireInterface::~WireInterface() {
    if (thread_.joinable()) {
        eventfd_write(end_, 1);
        thread_.join();
        close(end_);
    }
    close(fd_);
}

void WireInterface::listen(std::function<void(Frame const&)> arrived) {
    end_ = eventfd(0, EFD_CLOEXEC);
    room_.resize(longest_frame);
    thread_ = std::thread([this, arrived = std::move(arrived)] {
        pollfd waiting[2] = {{fd_, POLLIN, 0}, {end_, POLLIN, 0}};
        while (poll(waiting, 2, -1) >= 0 || errno == EINTR) {
            if (waiting[1].revents != 0 || (waiting[0].revents & (POLLHUP | POLLNVAL)) != 0) {
                return;
            }
            for (int left = most_at_once; left > 0 && receive(arrived); --left) {
            }
        }
    });
}

// False: there is none.
bool WireInterface::receive(std::function<void(Frame const&)> const& arrived) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(tpacket_auxdata))];
    iovec piece{room_.data(), room_.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t const bytes = recvmsg(fd_, &message, MSG_DONTWAIT);
    if (bytes < 14) {
        return bytes >= 0;
    }
    Frame frame(room_.begin(), room_.begin() + bytes);
    put_tag_back(frame, message);
    if (frame.size() < least_frame) {
        frame.resize(least_frame);
    }
    arrived(frame);
    return true;
}

void WireInterface::send(std::span<std::uint8_t const> frame) {
    if (::send(fd_, frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        ++dropped_out_;
    }
}

// The kernel's count begins anew each time that it is read.
WireInterface::Dropped WireInterface::dropped() {
    tpacket_stats fresh{};
    socklen_t bytes = sizeof fresh;
    if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &fresh, &bytes) == 0) {
        dropped_in_ += fresh.tp_drops;
    }
    return {dropped_in_, dropped_out_};
}

}  // namespace nic82599
