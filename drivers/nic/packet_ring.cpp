// SPDX-License-Identifier: BSD-2-Clause
// Brings the driver's and the kernel's positions together.
#include "drivers/nic/packet_ring.hpp"

#include <linux/if_packet.h>
#include <rte_ethdev.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

namespace librettos {
namespace {

// How a queue of either direction begins in DPDK 22.11 (drivers/net/af_packet): there is no other way to its position.
struct DriverQueue {
    int socket;
    unsigned frame_data_size;  // tx only
    iovec* frames;
    std::uint8_t* map;
    unsigned count;
    unsigned position;
};

using Status = decltype(tpacket2_hdr::tp_status);

tpacket2_hdr& frame(DriverQueue const& queue, unsigned number) {
    return *static_cast<tpacket2_hdr*>(queue.frames[number % queue.count].iov_base);
}

Status status(tpacket2_hdr& header) {
    return std::atomic_ref(header.tp_status).load(std::memory_order_acquire);
}

void set_status(tpacket2_hdr& header, Status value) {
    std::atomic_ref(header.tp_status).store(value, std::memory_order_release);
}

// The structure is the driver's own: believed only when everything in it fits.
DriverQueue* queue_of(void* driver, std::vector<int> const& sockets) {
    auto* const queue = static_cast<DriverQueue*>(driver);
    bool const fits = queue != nullptr && std::find(sockets.begin(), sockets.end(), queue->socket) != sockets.end() &&
                      queue->count > 0 && queue->count <= 1U << 20 && queue->position < queue->count &&
                      queue->frames != nullptr && queue->frames[0].iov_base == queue->map;
    return fits ? queue : nullptr;
}

bool is_newer(tpacket2_hdr const& a, tpacket2_hdr const& b) {
    return std::pair(a.tp_sec, a.tp_nsec) > std::pair(b.tp_sec, b.tp_nsec);
}

// The kernel writes next behind the frame with the latest time stamp. What is not read yet ends there.
void realign_rx(DriverQueue& queue) {
    unsigned newest = queue.position;
    for (unsigned i = 0; i < queue.count; ++i) {
        newest = is_newer(frame(queue, i), frame(queue, newest)) ? i : newest;
    }
    if (frame(queue, newest).tp_sec == 0) {
        return;  // none has ever come
    }
    unsigned first = newest + 1 + queue.count;
    for (unsigned i = 0; i < queue.count && (status(frame(queue, first - 1)) & TP_STATUS_USER) != 0; ++i) {
        --first;
    }
    queue.position = first % queue.count;
}

void kick(DriverQueue const& queue) {
    static_cast<void>(sendto(queue.socket, nullptr, 0, MSG_DONTWAIT, nullptr, 0));
}

// Frames that the device has not finished with: the kernel marks their places free when it has.
bool any_in_flight(DriverQueue const& queue) {
    for (unsigned i = 0; i < queue.count; ++i) {
        if ((status(frame(queue, i)) & TP_STATUS_SENDING) != 0) {
            return true;
        }
    }
    return false;
}

// The kernel skips frames that are none (shorter than an Ethernet header; the driver sets PACKET_LOSS) and stops at the
// first place where nothing is to be sent. With such frames everywhere but at the driver's position, it stops there.
void realign_tx(DriverQueue& queue) {
    kick(queue);  // what it can send from where it stands
    for (int tries = 0; tries < 20 && any_in_flight(queue); ++tries) {
        usleep(500);
    }
    for (unsigned i = 1; i < queue.count; ++i) {
        tpacket2_hdr& header = frame(queue, queue.position + i);
        header.tp_len = 0;
        set_status(header, TP_STATUS_SEND_REQUEST);
    }
    set_status(frame(queue, queue.position), TP_STATUS_AVAILABLE);
    kick(queue);
    for (unsigned i = 0; i < queue.count; ++i) {
        set_status(frame(queue, i), TP_STATUS_AVAILABLE);
    }
}

}  // namespace

void realign_packet_rings(PortDescription const& port) {
    if (port.driver != "net_af_packet") {
        return;
    }
    auto const& ops = rte_eth_fp_ops[port.port_id];
    for (std::uint16_t i = 0; i < port.queues; ++i) {
        if (DriverQueue* const queue = queue_of(ops.rxq.data[i], port.wait_fds)) {
            realign_rx(*queue);
        }
        if (DriverQueue* const queue = queue_of(ops.txq.data[i], port.wait_fds)) {
            realign_tx(*queue);
        }
    }
}

}  // namespace librettos
