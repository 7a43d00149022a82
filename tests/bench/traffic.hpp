// SPDX-License-Identifier: BSD-2-Clause
// What the benchmarks send: one shared address, guests that own ports, frames to and from ports drawn at random among
// the owned ones. Ours and the peers take their frames from here, so that making them costs all of them the same.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <librettos/portmap.h>

namespace librettos::bench {

struct TrafficShape {
    std::uint32_t frame_bytes = 64;  // Ethernet header to the last byte of payload, no FCS
    std::uint16_t guests = 64;
    std::uint32_t owned_ports = 1024;  // of all guests, TCP and UDP together; at least one per guest
};

// A port that somebody owns.
struct OwnedPort {
    std::uint16_t port_be;
    std::uint8_t udp;    // 0: TCP
    std::uint8_t guest;  // owner, modulo 256
};
static_assert(sizeof(OwnedPort) == 4);

enum class Direction : std::uint8_t { wire_to_guest, guest_to_wire };

inline constexpr std::uint16_t first_domain = 1;  // guest g is domain first_domain + g
inline constexpr std::uint8_t server_mac[6] = {0x02, 0x4c, 0x52, 0x00, 0x00, 0x01};
inline constexpr std::uint8_t outside_mac[6] = {0x02, 0x4c, 0x52, 0x00, 0x00, 0xfe};
inline constexpr std::uint8_t server_ipv4[4] = {10, 77, 0, 1};
inline constexpr std::uint8_t outside_ipv4[4] = {10, 77, 0, 2};

class Traffic {
  public:
    // The draw is the same for the same shape. Throws std::invalid_argument for a shape that cannot be.
    explicit Traffic(TrafficShape const& shape);

    TrafficShape const& shape() const { return shape_; }
    lvif_portmap const& portmap() const { return *portmap_; }

    // A long random walk over the owned ports of all guests, and of one guest. The length is a power of two.
    std::span<OwnedPort const> walk() const { return walk_; }
    std::span<OwnedPort const> walk(std::uint16_t guest) const { return guest_walks_[guest]; }

    // The whole frame but for what address() changes; `frame` has frame_bytes.
    void fill(std::span<std::uint8_t> frame, Direction direction) const;

    // Makes a filled frame one to (or from) `port`. The rest of the frame is valid for TCP and for UDP alike: what UDP
    // reads as its length and its absent checksum is TCP's sequence number.
    template <Direction direction>
    void address(std::uint8_t* frame, OwnedPort port) const {
        constexpr std::size_t ttl_offset = 22;
        constexpr std::size_t port_offset = direction == Direction::wire_to_guest ? 36 : 34;
        __builtin_memcpy(frame + ttl_offset, &ttl_protocol_checksum_[port.udp], 4);
        __builtin_memcpy(frame + port_offset, &port.port_be, 2);
    }

  private:
    struct PortmapDeleter {
        void operator()(lvif_portmap* portmap) const;
    };

    void draw_ports(std::mt19937& random);

    TrafficShape shape_;
    std::unique_ptr<lvif_portmap, PortmapDeleter> portmap_;
    std::vector<OwnedPort> walk_;
    std::vector<std::vector<OwnedPort>> guest_walks_;
    std::uint32_t ttl_protocol_checksum_[2] = {};  // bytes 22 .. 25 of a frame, by OwnedPort::udp
};

}  // namespace librettos::bench
