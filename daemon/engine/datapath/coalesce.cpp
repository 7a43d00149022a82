// SPDX-License-Identifier: BSD-2-Clause
// Receive coalescing of TCP segments (coalesce.hpp).
#include "daemon/engine/datapath/coalesce.hpp"

#include <algorithm>
#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

namespace {

// Offsets in a TCP header (RFC 9293, 3.1) and what of it must be the same in all segments of a frame.
constexpr std::size_t tcp_sequence = 4;
constexpr std::size_t tcp_acknowledgement = 8;
constexpr std::size_t tcp_flags = 13;
constexpr std::size_t tcp_window = 14;
constexpr std::size_t tcp_checksum = 16;
constexpr std::size_t tcp_options = 20;
constexpr std::size_t largest_packet = 65'535;

bool same(std::uint8_t const* a, std::uint8_t const* b, std::size_t bytes) {
    return std::memcmp(a, b, bytes) == 0;
}

}  // namespace

std::optional<TcpSegment> TcpSegment::parse(std::span<std::uint8_t const> frame) {
    TcpSegment segment;
    if (frame.size() < ether_bytes + ipv6_bytes) {
        return std::nullopt;
    }
    std::uint8_t const* const ip = frame.data() + ether_bytes;
    segment.ip_at = ether_bytes;
    std::size_t packet_bytes = 0;
    switch (load_be16(frame.data() + 12)) {
        case ethertype::ipv4:
            if (ip[0] != 0x45 || ip[9] != protocol::tcp || (load_be16(ip + 6) & 0x3fff) != 0) {
                return std::nullopt;
            }
            packet_bytes = load_be16(ip + 2);
            segment.tcp_at = ether_bytes + ipv4_bytes;
            break;
        case ethertype::ipv6:
            if (ip[6] != protocol::tcp) {
                return std::nullopt;
            }
            packet_bytes = ipv6_bytes + load_be16(ip + 4);
            segment.tcp_at = ether_bytes + ipv6_bytes;
            segment.ipv6 = true;
            break;
        default:
            return std::nullopt;
    }
    std::size_t const end = ether_bytes + packet_bytes;
    if (end > frame.size() || end < segment.tcp_at + tcp_bytes) {
        return std::nullopt;
    }
    std::uint8_t const* const tcp = frame.data() + segment.tcp_at;
    std::size_t const payload_at = segment.tcp_at + std::size_t{tcp[12]} / 16 * 4;
    std::uint8_t const flags = tcp[tcp_flags];
    if (payload_at < segment.tcp_at + tcp_bytes || payload_at >= end || (flags & ~tcp_flag::psh) != tcp_flag::ack) {
        return std::nullopt;
    }
    segment.payload_at = static_cast<std::uint16_t>(payload_at);
    segment.payload_bytes = static_cast<std::uint16_t>(end - payload_at);
    segment.sequence = load_be32(tcp + tcp_sequence);
    segment.push = (flags & tcp_flag::psh) != 0;
    return segment;
}

void GrowingFrame::start(std::span<std::uint8_t const> frame, TcpSegment const& segment) {
    open_ = !segment.push;
    if (!open_) {
        return;
    }
    first_ = segment;
    header_bytes_ = segment.payload_at;
    payload_bytes_ = segment.payload_bytes;
    segment_bytes_ = segment.payload_bytes;
    next_sequence_ = segment.sequence + segment.payload_bytes;
    std::memcpy(headers_.data(), frame.data(), header_bytes_);
}

bool GrowingFrame::continues(std::span<std::uint8_t const> frame, TcpSegment const& segment) const {
    if (!open_ || segment.sequence != next_sequence_ || segment.payload_at != header_bytes_ ||
        segment.ipv6 != first_.ipv6 || segment.payload_bytes > segment_bytes_ ||
        frame_bytes() - first_.ip_at + segment.payload_bytes > largest_packet) {
        return false;
    }
    std::uint8_t const* const mine = headers_.data();
    std::uint8_t const* const its = frame.data();
    std::uint8_t const* const my_tcp = mine + first_.tcp_at;
    std::uint8_t const* const its_tcp = its + first_.tcp_at;
    bool const same_ip = segment.ipv6 ? same(mine + first_.ip_at, its + first_.ip_at, 4) &&
                                            same(mine + first_.ip_at + 6, its + first_.ip_at + 6, 34)
                                      : same(mine + first_.ip_at, its + first_.ip_at, 2) &&
                                            same(mine + first_.ip_at + 6, its + first_.ip_at + 6, 4) &&
                                            same(mine + first_.ip_at + 12, its + first_.ip_at + 12, 8);
    return same_ip && same(mine, its, ether_bytes) && same(my_tcp, its_tcp, tcp_sequence) &&
           same(my_tcp + tcp_acknowledgement, its_tcp + tcp_acknowledgement, 5) &&
           same(my_tcp + tcp_window, its_tcp + tcp_window, 2) &&
           same(my_tcp + tcp_options, its_tcp + tcp_options, header_bytes_ - first_.tcp_at - tcp_options);
}

void GrowingFrame::grow(TcpSegment const& segment) {
    payload_bytes_ += segment.payload_bytes;
    next_sequence_ += segment.payload_bytes;
    open_ = !segment.push && segment.payload_bytes == segment_bytes_;
    std::uint8_t* const ip = headers_.data() + first_.ip_at;
    std::uint8_t* const tcp = headers_.data() + first_.tcp_at;
    if (segment.push) {
        tcp[tcp_flags] |= tcp_flag::psh;
    }
    auto const packet_bytes = static_cast<std::uint16_t>(frame_bytes() - first_.ip_at);
    std::uint32_t const tcp_length = frame_bytes() - first_.tcp_at;
    std::uint64_t pseudo = 0;
    if (first_.ipv6) {
        store_be16(ip + 4, static_cast<std::uint16_t>(packet_bytes - ipv6_bytes));
        pseudo = pseudo_header_sum({ip + 8, 16}, {ip + 24, 16}, protocol::tcp, tcp_length);
    } else {
        store_be16(ip + 2, packet_bytes);
        store_be16(ip + 10, 0);
        checksum_store(ip + 10, checksum_finish(checksum_add({ip, ipv4_bytes})));
        pseudo = pseudo_header_sum({ip + 12, 4}, {ip + 16, 4}, protocol::tcp, tcp_length);
    }
    checksum_store(tcp + tcp_checksum, checksum_fold(pseudo));
}

lvif_record GrowingFrame::record() const {
    lvif_record record{};
    record.flags = LVIF_CSUM_PARTIAL;
    record.flags |= first_.ipv6 ? LVIF_GSO_TCP6 : LVIF_GSO_TCP4;
    record.csum_start = first_.tcp_at;
    record.csum_offset = tcp_checksum;
    record.gso_size = segment_bytes_;
    record.header_length = static_cast<std::uint16_t>(header_bytes_);
    return record;
}

}  // namespace librettos
