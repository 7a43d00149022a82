// SPDX-License-Identifier: BSD-2-Clause
// Draws the owned ports and builds the frames.
#include "tests/bench/traffic.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace librettos::bench {
namespace {

constexpr std::size_t walk_length = 65536;
constexpr std::size_t guest_walk_length = 1024;
constexpr std::uint32_t first_port = 1024;
constexpr std::size_t minimum_frame_bytes = 60;

std::uint16_t ip_checksum(std::uint8_t const* header) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2)
        sum += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

void put16(std::uint8_t* at, std::size_t value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
}

std::vector<std::uint16_t> shuffled_ports(std::mt19937& random) {
    std::vector<std::uint16_t> ports(LVIF_PORTS - first_port);
    std::iota(ports.begin(), ports.end(), static_cast<std::uint16_t>(first_port));
    std::shuffle(ports.begin(), ports.end(), random);
    return ports;
}

}  // namespace

void Traffic::PortmapDeleter::operator()(lvif_portmap* portmap) const {
    std::free(portmap);
}

Traffic::Traffic(TrafficShape const& shape) : shape_(shape) {
    if (shape.frame_bytes < minimum_frame_bytes || shape.frame_bytes > 9014)
        throw std::invalid_argument("frame size: 60 .. 9014 bytes");
    if (shape.guests == 0 || shape.guests > 1000)
        throw std::invalid_argument("guests: 1 .. 1000");
    if (shape.owned_ports < shape.guests || shape.owned_ports > LVIF_PORTS)
        throw std::invalid_argument("owned ports: from one per guest to 65536");

    void* const memory = std::aligned_alloc(4096, LVIF_PORTMAP_BYTES);
    if (memory == nullptr)
        throw std::bad_alloc();
    std::memset(memory, 0, LVIF_PORTMAP_BYTES);
    portmap_.reset(static_cast<lvif_portmap*>(memory));
    portmap_->magic = LVIF_PORTMAP_MAGIC;
    portmap_->version = LVIF_PORTMAP_VERSION;
    portmap_->ephemeral_first = 32768;
    portmap_->ephemeral_last = 60999;

    std::mt19937 random(20250704);
    draw_ports(random);
}

void Traffic::draw_ports(std::mt19937& random) {
    std::vector<std::uint16_t> const tcp = shuffled_ports(random);
    std::vector<std::uint16_t> const udp = shuffled_ports(random);
    std::vector<OwnedPort> owned;
    std::vector<std::vector<OwnedPort>> of_guest(shape_.guests);
    std::size_t next_tcp = 0;
    std::size_t next_udp = 0;
    for (std::uint32_t i = 0; i < shape_.owned_ports; ++i) {
        // Neighbours i go to different guests; a guest gets TCP and UDP in turn.
        auto const guest = static_cast<std::uint16_t>(i % shape_.guests);
        bool const is_udp = (i / shape_.guests + guest) % 2 != 0;
        std::uint16_t const port = is_udp ? udp.at(next_udp++) : tcp.at(next_tcp++);
        (is_udp ? portmap_->udp : portmap_->tcp)[port] =
            lvif_port_entry(LVIF_PORT_BOUND, static_cast<std::uint16_t>(first_domain + guest), 0);
        OwnedPort const choice{htons(port), static_cast<std::uint8_t>(is_udp), static_cast<std::uint8_t>(guest)};
        owned.push_back(choice);
        of_guest[guest].push_back(choice);
    }

    auto const walk_over = [&random](std::vector<OwnedPort> const& ports, std::size_t length) {
        std::uniform_int_distribution<std::size_t> pick(0, ports.size() - 1);
        std::vector<OwnedPort> walk(length);
        for (OwnedPort& step : walk)
            step = ports[pick(random)];
        return walk;
    };
    walk_ = walk_over(owned, walk_length);
    for (auto const& ports : of_guest)
        guest_walks_.push_back(walk_over(ports, guest_walk_length));

    std::vector<std::uint8_t> frame(shape_.frame_bytes);
    for (std::size_t is_udp : {0, 1}) {
        fill(frame, Direction::wire_to_guest);
        frame[23] = is_udp ? IPPROTO_UDP : IPPROTO_TCP;
        put16(&frame[24], ip_checksum(&frame[14]));
        std::memcpy(&ttl_protocol_checksum_[is_udp], &frame[22], 4);
    }
}

void Traffic::fill(std::span<std::uint8_t> frame, Direction direction) const {
    bool const inbound = direction == Direction::wire_to_guest;
    std::memset(frame.data(), 0x5a, frame.size());
    std::memcpy(&frame[0], inbound ? server_mac : outside_mac, 6);
    std::memcpy(&frame[6], inbound ? outside_mac : server_mac, 6);
    put16(&frame[12], 0x0800);

    std::uint8_t* const ip = &frame[14];
    std::memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, frame.size() - 14);
    put16(ip + 6, 0x4000);  // DF
    ip[8] = 64;
    std::memcpy(ip + 12, inbound ? outside_ipv4 : server_ipv4, 4);
    std::memcpy(ip + 16, inbound ? server_ipv4 : outside_ipv4, 4);

    std::uint8_t* const transport = &frame[34];
    put16(transport + 0, 443);
    put16(transport + 2, 443);
    put16(transport + 4, frame.size() - 34);  // UDP: length
    put16(transport + 6, 0);                  // UDP: no checksum
    transport[12] = 0x50;                     // TCP: header of 20 bytes
    transport[13] = 0x10;                     // TCP: ACK
}

}  // namespace librettos::bench
