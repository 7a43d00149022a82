// SPDX-License-Identifier: BSD-2-Clause
// Receive descriptors.
#include "tests/nic82599/receive_ring.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "tests/nic82599/checksum.hpp"

namespace nic82599 {
namespace {

constexpr std::size_t descriptor_bytes = 16;
constexpr std::uint32_t done = 1, end_of_packet = 2, flow_match = 4, vlan_stripped = 8, udp_checked = 0x10,
                        l4_checked = 0x20, ip_checked = 0x40, udp_valid = 0x400, loop_back = 0x40000;
constexpr std::uint32_t tcp_error = 1u << 30, ip_error = 1u << 31;

// The status goes last: the driver looks at it alone, from another thread.
void write_descriptor(std::uint8_t* at, std::uint64_t first, std::uint64_t second) {
    std::memcpy(at, &first, sizeof first);
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at + 8)).store(second, std::memory_order_release);
}

std::uint32_t transport_sum(std::span<std::uint8_t const> frame, Headers const& headers) {
    Checksum sum;
    bool const v4 = headers.network == Headers::Network::ipv4;
    std::size_t const bytes = headers.end - headers.transport_at;
    sum.add(frame.subspan(headers.network_at + (v4 ? 12 : 8), v4 ? 8 : 32));
    sum.add(std::uint32_t{headers.protocol});
    sum.add(static_cast<std::uint32_t>(bytes));
    sum.add(frame.subspan(headers.transport_at, bytes));
    return sum.folded();
}

}  // namespace

std::uint32_t packet_type(Headers const& headers) {
    std::uint32_t type = 0;
    if (headers.network == Headers::Network::ipv4) {
        type = headers.network_options ? 3 : 1;
    } else if (headers.network == Headers::Network::ipv6) {
        type = headers.network_options ? 0xC : 4;
    }
    switch (headers.transport) {
        case Headers::Transport::tcp:
            type |= 0x10;
            break;
        case Headers::Transport::udp:
            type |= 0x20;
            break;
        case Headers::Transport::sctp:
            type |= 0x40;
            break;
        default:
            break;
    }
    return type << 4;
}

std::uint32_t checksum_status(std::span<std::uint8_t const> frame, Headers const& headers) {
    std::uint32_t status = 0;
    if (headers.network == Headers::Network::ipv4) {
        Checksum header;
        header.add(frame.subspan(headers.network_at, headers.transport_at - headers.network_at));
        status |= ip_checked | (header.folded() == 0xFFFF ? 0 : ip_error);
    }
    bool const tcp = headers.transport == Headers::Transport::tcp;
    bool const udp = headers.transport == Headers::Transport::udp;
    if (udp && be16(frame, headers.transport_at + 6) == 0) {
        return status;  // its sender made no checksum
    }
    if (tcp || udp) {
        status |= l4_checked | (udp ? udp_checked | udp_valid : 0);
        status |= transport_sum(frame, headers) == 0xFFFF ? 0 : tcp_error;
    }
    return status;
}

ReceiveRing::Result ReceiveRing::deliver(Frame const& frame, Headers const& headers, ReceiveReport const& report,
                                         std::size_t& written) {
    std::uint32_t const descriptors = registers_.get(at_ + reg::LEN) / descriptor_bytes;
    if (!enabled() || descriptors == 0) {
        return Result::disabled;
    }
    bool const strip = headers.vlan_tci && registers_.has(at_ + reg::DCTL, reg::RXDCTL_VME);
    std::size_t const bytes = frame.size() - (strip ? vlan_bytes : 0);
    std::uint32_t const control = registers_.get(at_ + reg::SRRCTL);
    std::size_t const buffer = std::max<std::size_t>(control & 0x1F, 1) * 1024;
    std::uint32_t head = registers_.get(at_ + reg::HEAD) % descriptors;
    std::uint32_t const tail = registers_.get(at_ + reg::TAIL) % descriptors;
    if ((bytes + buffer - 1) / buffer > (tail + descriptors - head) % descriptors) {
        return Result::no_descriptors;
    }
    std::uint8_t* const ring =
        machine_.dma(owner_, registers_.pair(at_ + reg::BAL, at_ + reg::BAH) & ~std::uint64_t{127},
                     std::size_t{descriptors} * descriptor_bytes);
    if (ring == nullptr) {
        return Result::fault;
    }
    std::uint32_t const checks = checksum_status(frame, headers);
    bool const legacy = (control & reg::SRRCTL_DESCTYPE) == 0;
    std::uint64_t const info = packet_type(headers) | report.rss_type | std::uint64_t{report.hash} << 32;
    std::uint64_t const tag = strip ? std::uint64_t{*headers.vlan_tci} << 48 : 0;
    for (std::size_t copied = 0; copied < bytes;) {
        std::uint8_t* const descriptor = ring + std::size_t{head} * descriptor_bytes;
        std::uint64_t address = 0;
        std::memcpy(&address, descriptor, sizeof address);
        std::size_t const piece = std::min(buffer, bytes - copied);
        std::uint8_t* const memory = machine_.dma(owner_, address, piece);
        if (memory == nullptr) {
            return Result::fault;
        }
        for (std::size_t i = 0; i < piece;) {  // around the tag that is left out
            std::size_t const from = copied + i + (strip && copied + i >= 12 ? vlan_bytes : 0);
            std::size_t const run = strip && copied + i < 12 ? std::min(piece - i, 12 - copied - i) : piece - i;
            std::memcpy(memory + i, frame.data() + from, run);
            i += run;
        }
        copied += piece;
        head = head + 1 == descriptors ? 0 : head + 1;
        std::uint32_t status = done;
        if (copied == bytes) {
            status |= end_of_packet | checks | (strip ? vlan_stripped : 0) | (report.flow_match ? flow_match : 0) |
                      (report.looped_back ? loop_back : 0);
        }
        if (legacy) {  // 7.1.5: length, checksum (not computed), status, errors, tag
            std::uint64_t const errors = (checks & ip_error) >> 24 | (checks & tcp_error) >> 24;
            write_descriptor(descriptor, address,
                             piece | std::uint64_t{status & 0xFF} << 32 | errors << 40 | (copied == bytes ? tag : 0));
        } else {
            write_descriptor(descriptor, info, status | std::uint64_t{piece} << 32 | (copied == bytes ? tag : 0));
        }
    }
    registers_.set(at_ + reg::HEAD, head);
    written = bytes;
    return Result::delivered;
}

}  // namespace nic82599
