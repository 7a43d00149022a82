// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum. Sums 32-bit words into 64-bit accumulators in memory byte order: the result is byte-order
// neutral (RFC 1071, section 2 (B)), carries cannot be lost below 2^32 words, and the compiler vectorises it.
#include "daemon/engine/datapath/checksum.hpp"

#include <cstring>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

std::uint64_t checksum_add(std::span<std::uint8_t const> bytes, std::uint64_t sum) {
    std::uint8_t const* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t lanes[8] = {};
    for (; left >= 32; left -= 32, at += 32) {
        for (int i = 0; i < 8; ++i) {
            lanes[i] += load_raw<std::uint32_t>(at + 4 * i);
        }
    }
    for (std::uint64_t lane : lanes) {
        sum += lane;
    }
    for (; left >= 4; left -= 4, at += 4) {
        sum += load_raw<std::uint32_t>(at);
    }
    std::uint8_t tail[4] = {};
    if (left > 0) {
        std::memcpy(tail, at, left);
    }
    return sum + load_raw<std::uint32_t>(tail);
}

std::uint64_t checksum_add16(std::uint16_t value, std::uint64_t sum) {
    std::uint8_t bytes[2];
    store_be16(bytes, value);
    return sum + load_raw<std::uint16_t>(bytes);
}

std::uint16_t checksum_fold(std::uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

std::uint16_t checksum_finish(std::uint64_t sum) {
    return static_cast<std::uint16_t>(~checksum_fold(sum));
}

void checksum_store(std::uint8_t* at, std::uint16_t value) {
    std::memcpy(at, &value, sizeof value);
}

std::uint64_t pseudo_header_sum(std::span<std::uint8_t const> source, std::span<std::uint8_t const> destination,
                                std::uint8_t protocol, std::uint32_t length_bytes) {
    std::uint64_t sum = checksum_add(destination, checksum_add(source));
    sum = checksum_add16(static_cast<std::uint16_t>(length_bytes >> 16), sum);
    sum = checksum_add16(static_cast<std::uint16_t>(length_bytes), sum);
    return checksum_add16(protocol, sum);
}

bool complete_checksum(std::span<std::uint8_t> frame, std::size_t csum_start, std::size_t csum_offset) {
    if (csum_start > frame.size() || frame.size() - csum_start < 2 || csum_offset > frame.size() - csum_start - 2) {
        return false;
    }
    std::uint16_t const value = checksum_finish(checksum_add(frame.subspan(csum_start)));
    checksum_store(frame.data() + csum_start + csum_offset, value == 0 ? std::uint16_t{0xffff} : value);
    return true;
}

bool checksum_ok(std::span<std::uint8_t const> bytes, std::uint64_t pseudo_sum) {
    return checksum_fold(checksum_add(bytes, pseudo_sum)) == 0xffff;
}

namespace {

bool transport_ok(std::span<std::uint8_t const> source, std::span<std::uint8_t const> destination,
                  std::uint8_t transport, std::span<std::uint8_t const> segment) {
    if (transport == protocol::udp && segment.size() >= udp_bytes && load_be16(segment.data() + 6) == 0) {
        return source.size() == 4;
    }
    bool const covered = transport == protocol::tcp || transport == protocol::udp || transport == protocol::icmpv6;
    auto const length_bytes = static_cast<std::uint32_t>(segment.size());
    return !covered || checksum_ok(segment, pseudo_header_sum(source, destination, transport, length_bytes));
}

bool ipv4_ok(std::span<std::uint8_t const> packet) {
    std::size_t const header = std::size_t{packet[0]} % 16 * 4;
    if (packet.size() < ipv4_bytes || header < ipv4_bytes) {
        return false;
    }
    std::size_t const total = load_be16(packet.data() + 2);
    if (total < header || total > packet.size() || !checksum_ok(packet.first(header))) {
        return false;
    }
    if ((load_be16(packet.data() + 6) & 0x3fff) != 0) {
        return true;
    }
    auto const segment = packet.subspan(header, total - header);
    if (packet[9] == protocol::icmp) {
        return checksum_ok(segment);
    }
    return packet[9] == protocol::icmpv6 ||
           transport_ok(packet.subspan(12, 4), packet.subspan(16, 4), packet[9], segment);
}

bool ipv6_ok(std::span<std::uint8_t const> packet) {
    if (packet.size() < ipv6_bytes) {
        return false;
    }
    std::size_t const length = load_be16(packet.data() + 4);
    return length <= packet.size() - ipv6_bytes &&
           transport_ok(packet.subspan(8, 16), packet.subspan(24, 16), packet[6], packet.subspan(ipv6_bytes, length));
}

}  // namespace

bool packet_checksums_ok(std::span<std::uint8_t const> packet) {
    if (packet.empty()) {
        return false;
    }
    switch (packet[0] >> 4) {
        case 4:
            return ipv4_ok(packet);
        case 6:
            return ipv6_ok(packet);
        default:
            return false;
    }
}

std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
    std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
    sum += static_cast<std::uint16_t>(~old_word);
    sum += new_word;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace librettos
