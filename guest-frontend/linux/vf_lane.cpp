// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/vf_lane.hpp"

#include <librettos/frame_ring.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "guest-frontend/linux/virtio_header.hpp"

namespace librettos::guest {

namespace {

constexpr int burst = 64;

bool has_tag(msghdr& message) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
            tpacket_auxdata facts{};
            std::memcpy(&facts, CMSG_DATA(part), sizeof facts);
            return (facts.tp_status & TP_STATUS_VLAN_VALID) != 0;
        }
    }
    return false;
}

}  // namespace

VfLane::VfLane(Descriptor socket, int tap_fd, int wake, std::uint16_t queues)
    : socket_(std::move(socket)),
      tap_fd_(tap_fd),
      wake_(wake),
      rings_awaited_((1u << queues) - 1),
      received_(sizeof(VirtioHeader) + LVIF_MAX_FRAME_BYTES) {
}

void VfLane::let_in() {
    let_in_.store(true, std::memory_order_release);
    eventfd_write(wake_, 1);
}

void VfLane::ring_is_in(std::uint16_t queue) {
    std::uint32_t const bit = 1u << queue;
    if (rings_awaited_.fetch_and(~bit, std::memory_order_acq_rel) == bit) {
        let_in();
    }
}

// False: there is none.
bool VfLane::receive_one(std::vector<std::uint8_t>& buffer, std::size_t& bytes, bool& tagged) {
    alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t const length = recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (length < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            failed_.store(true, std::memory_order_relaxed);
        }
        return false;
    }
    bytes = static_cast<std::size_t>(length);
    tagged = has_tag(message);
    return true;
}

bool VfLane::to_tap() {
    std::lock_guard const lock(receiving_);
    for (int done = 0; done < burst; ++done) {
        std::size_t bytes = 0;
        bool tagged = false;
        if (!receive_one(received_, bytes, tagged)) {
            return false;
        }
        if (tagged || write(tap_fd_, received_.data(), bytes) < 0) {
            ++losses_.rx_refused;
        }
    }
    return true;
}

VfLane::Sent VfLane::send(std::span<std::uint8_t const> header_and_frame) {
    if (::send(socket_.get(), header_and_frame.data(), header_and_frame.size(), MSG_DONTWAIT) >= 0) {
        return Sent::done;
    }
    switch (errno) {
        case EAGAIN:
        case EINTR:
            return Sent::later;
        case EMSGSIZE:
        case EINVAL:
        case ENOBUFS:  // the VF's queue
            tx_refused_.fetch_add(1, std::memory_order_relaxed);
            return Sent::done;
        default:
            failed_.store(true, std::memory_order_relaxed);
            return Sent::vf_gone;
    }
}

bool VfLane::sent_all() const {
    int waiting = 0;
    return ioctl(socket_.get(), SIOCOUTQ, &waiting) < 0 || waiting == 0;
}

VfLosses VfLane::losses() {
    std::lock_guard const lock(receiving_);
    tpacket_stats seen{};
    socklen_t size = sizeof seen;
    if (getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &seen, &size) == 0) {
        losses_.rx_overrun += seen.tp_drops;  // since the last time
    }
    losses_.tx_refused = tx_refused_.load(std::memory_order_relaxed);
    return losses_;
}

}  // namespace librettos::guest
