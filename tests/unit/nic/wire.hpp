// SPDX-License-Identifier: BSD-2-Clause
// The other end of the wire, and a receiver that sleeps on the port's descriptor, for tests.
#pragma once

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "daemon/engine/boot.hpp"
#include "tests/unit/nic/in_namespace.hpp"

namespace librettos {

constexpr std::uint16_t test_ethertype = 0x88b5;  // for local experiments

// Sends frames into an interface.
class Wire {
  public:
    explicit Wire(std::string const& interface) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        require(fd_ >= 0 && bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
                "wire on " + interface);
    }
    ~Wire() { close(fd_); }
    Wire(Wire const&) = delete;
    Wire& operator=(Wire const&) = delete;

    void send(std::uint8_t number, std::size_t bytes = 64) const {
        std::vector<std::uint8_t> frame(bytes, number);
        std::memset(frame.data(), 0xff, 6);
        std::memcpy(frame.data() + 6, "\x02\x00\x00\x00\x00\x01", 6);
        std::uint16_t const type = htons(test_ethertype);
        std::memcpy(frame.data() + 12, &type, 2);
        require(::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()), "send on the wire");
    }

  private:
    int fd_;
};

struct Arrived {
    std::uint8_t number;
    std::uint32_t bytes;
    std::uint16_t segments;
};

// The next test frame of queue 0, slept for on its descriptor; throws after 10 s.
inline Arrived next_frame(PortDescription const& port) {
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
        rte_mbuf* frame = nullptr;
        if (rte_eth_rx_burst(port.port_id, 0, &frame, 1) == 0) {
            pollfd waiting{port.wait_fds.at(0), POLLIN, 0};
            poll(&waiting, 1, 200);
            continue;
        }
        auto const* const bytes = rte_pktmbuf_mtod(frame, std::uint8_t const*);
        std::uint16_t type = 0;
        std::memcpy(&type, bytes + 12, 2);
        Arrived const arrived{bytes[20], frame->pkt_len, frame->nb_segs};
        rte_pktmbuf_free(frame);
        if (type == htons(test_ethertype)) {
            return arrived;
        }
    }
    throw std::runtime_error("no frame came");
}

inline bool readable(int fd, int ms) {
    pollfd waiting{fd, POLLIN, 0};
    return poll(&waiting, 1, ms) == 1 && (waiting.revents & POLLIN) != 0;
}

inline PortOptions port_options(std::string const& device) {
    PortOptions options;
    options.device = device;
    options.memory_mib = 64;
    options.buffers = 4096;
    options.descriptors = 256;
    return options;
}

}  // namespace librettos
