// SPDX-License-Identifier: BSD-2-Clause
// Receive coalescing: TCP segments of one flow that come one after the other for the same ring become one large frame
// there, which a guest takes at the cost of one. Order is kept: a segment is only ever appended to the frame put last,
// in the same turn, before that is published. (DPDK's rte_gro moves segments with PSH, and pure acknowledgements,
// behind later ones, and knows no IPv6.)
//
// A segment whose checksum does not hold is passed on as it is: merging would hide the damage.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <librettos/frame_ring.h>

namespace librettos {

// The headers of a TCP data segment that may take part: no IP options or fragments, flags ACK or ACK|PSH.
struct TcpSegment {
    std::uint16_t ip_at = 0;
    std::uint16_t tcp_at = 0;
    std::uint16_t payload_at = 0;
    std::uint16_t payload_bytes = 0;
    std::uint32_t sequence = 0;
    bool push = false;
    bool ipv6 = false;

    // nullopt: not such a segment. `frame` may have Ethernet padding behind the packet.
    static std::optional<TcpSegment> parse(std::span<std::uint8_t const> frame);
};

// The frame that was put last into one ring and can still grow.
class GrowingFrame {
  public:
    bool is_open() const { return open_; }
    void close() { open_ = false; }

    // `frame` was just put as it is. Its checksums hold.
    void start(std::span<std::uint8_t const> frame, TcpSegment const& segment);

    // Whether `segment` of `frame` continues this one: same flow and options, next in sequence, no longer than its
    // parts.
    bool continues(std::span<std::uint8_t const> frame, TcpSegment const& segment) const;

    // Takes the segment's payload into account: headers() and record() are then those of the larger frame.
    void grow(TcpSegment const& segment);

    std::uint32_t frame_bytes() const { return header_bytes_ + payload_bytes_; }
    std::span<std::uint8_t const> headers() const { return {headers_.data(), header_bytes_}; }
    lvif_record record() const;

  private:
    static constexpr std::size_t most_header_bytes = 14 + 40 + 60;

    bool open_ = false;  // first: all that is touched for frames that cannot grow
    std::array<std::uint8_t, most_header_bytes> headers_;
    std::uint32_t header_bytes_ = 0;
    std::uint32_t payload_bytes_ = 0;
    std::uint32_t next_sequence_ = 0;
    std::uint16_t segment_bytes_ = 0;
    TcpSegment first_;
};

}  // namespace librettos
