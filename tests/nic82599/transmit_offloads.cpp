// SPDX-License-Identifier: BSD-2-Clause
// Checksums and segments on transmit.
#include "tests/nic82599/transmit_offloads.hpp"

#include <algorithm>

#include "tests/nic82599/checksum.hpp"
#include "tests/nic82599/headers.hpp"

namespace nic82599 {
namespace {

using Transport = TransmitContext::Transport;

struct Places {
    std::size_t ip, l4, payload;
};

void insert_ip_checksum(Frame& frame, Places const& at) {
    put_be16(frame, at.ip + 10, 0);
    Checksum sum;
    sum.add(std::span(frame).subspan(at.ip, at.l4 - at.ip));
    put_be16(frame, at.ip + 10, sum.complement());
}

// The field holds the pseudo header's sum already: without the length when segmenting, which is `extra` then.
bool insert_l4_checksum(Frame& frame, Places const& at, Transport transport, std::uint32_t extra) {
    std::size_t const field = at.l4 + (transport == Transport::tcp ? 16 : 6);
    if (transport == Transport::sctp || field + 2 > frame.size()) {
        return false;
    }
    Checksum sum;
    sum.add(std::span(frame).subspan(at.l4));
    sum.add(extra);
    std::uint16_t const checksum = sum.complement();
    put_be16(frame, field, transport == Transport::udp && checksum == 0 ? 0xFFFF : checksum);
    return true;
}

void mask_flags(Frame& segment, std::size_t l4, std::uint16_t mask) {
    std::uint16_t const field = be16(segment, l4 + 12);
    put_be16(segment, l4 + 12, static_cast<std::uint16_t>((field & 0xF000) | (field & 0x0FFF & mask)));
}

std::vector<Frame> segment(Frame const& frame, Places const& at, TransmitRequest const& request,
                           TransmitContext const& context, TcpFlagMasks const& masks) {
    std::vector<Frame> segments;
    std::size_t const payload = frame.size() - at.payload;
    for (std::size_t sent = 0; sent < payload || segments.empty();) {
        std::size_t const piece = std::min<std::size_t>(context.segment_bytes, payload - sent);
        Frame one(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(at.payload));
        auto const from = frame.begin() + static_cast<std::ptrdiff_t>(at.payload + sent);
        one.insert(one.end(), from, from + static_cast<std::ptrdiff_t>(piece));
        bool const first = sent == 0, last = sent + piece == payload;
        if (context.ipv4) {
            put_be16(one, at.ip + 2, static_cast<std::uint16_t>(one.size() - at.ip));
            put_be16(one, at.ip + 4, static_cast<std::uint16_t>(be16(one, at.ip + 4) + segments.size()));
        } else {
            put_be16(one, at.ip + 4, static_cast<std::uint16_t>(one.size() - at.ip - 40));
        }
        if (context.transport == Transport::tcp) {
            put_be32(one, at.l4 + 4, be32(one, at.l4 + 4) + static_cast<std::uint32_t>(sent));
            if (!first || !last) {
                mask_flags(one, at.l4, first ? masks.first : last ? masks.last : masks.middle);
            }
        } else {
            put_be16(one, at.l4 + 4, static_cast<std::uint16_t>(one.size() - at.l4));
        }
        if (request.ip_checksum && context.ipv4) {
            insert_ip_checksum(one, at);
        }
        auto const l4_length = static_cast<std::uint32_t>(one.size() - at.l4);
        if (request.l4_checksum && !insert_l4_checksum(one, at, context.transport, l4_length)) {
            return {};
        }
        segments.push_back(std::move(one));
        sent += piece;
    }
    return segments;
}

void finish(Frame& frame, TransmitRequest const& request) {
    if (request.insert_vlan) {
        std::uint8_t const tag[] = {0x81, 0x00, static_cast<std::uint8_t>(*request.insert_vlan >> 8),
                                    static_cast<std::uint8_t>(*request.insert_vlan)};
        frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    }
    constexpr std::size_t least = 60;
    if (frame.size() < least) {
        frame.resize(least);
    }
}

}  // namespace

std::vector<Frame> apply_offloads(Frame frame, TransmitRequest const& request, TransmitContext const& context,
                                  TcpFlagMasks const& masks) {
    Places const at{context.mac_bytes, std::size_t{context.mac_bytes} + context.ip_bytes,
                    std::size_t{context.mac_bytes} + context.ip_bytes + context.l4_bytes};
    if (frame.size() < ethernet_bytes) {
        return {};
    }
    std::vector<Frame> frames;
    if (request.segment) {
        std::size_t const least_l4 = context.transport == Transport::tcp ? 20 : 8;
        if (context.segment_bytes == 0 || frame.size() < at.payload || context.l4_bytes < least_l4 ||
            context.ip_bytes < 20 || context.transport > Transport::tcp) {
            return {};
        }
        frames = segment(frame, at, request, context, masks);
    } else {
        if (request.ip_checksum) {
            if (context.ip_bytes < 20 || frame.size() < at.l4) {
                return {};
            }
            insert_ip_checksum(frame, at);
        }
        if (request.l4_checksum && (frame.size() < at.l4 || !insert_l4_checksum(frame, at, context.transport, 0))) {
            return {};
        }
        frames.push_back(std::move(frame));
    }
    for (Frame& one : frames) {
        finish(one, request);
    }
    return frames;
}

}  // namespace nic82599
