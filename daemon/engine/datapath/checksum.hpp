// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071): sums, completion of what a sender left to us, verification, incremental update.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace librettos {

// A ones' complement sum, not folded, in memory byte order; `sum` is what was summed before. An odd length is
// padded with zero: only the last of several pieces may be odd. Good for 2^32 bytes.
std::uint64_t checksum_add(std::span<std::uint8_t const> bytes, std::uint64_t sum = 0);

// A 16-bit number in host byte order, added to a sum.
std::uint64_t checksum_add16(std::uint16_t value, std::uint64_t sum);

// Folded to 16 bits, not complemented, in memory byte order.
std::uint16_t checksum_fold(std::uint64_t sum);

// The value to store at `at` with checksum_store(): folded and complemented.
std::uint16_t checksum_finish(std::uint64_t sum);

// Stores a value of checksum_fold/checksum_finish.
void checksum_store(std::uint8_t* at, std::uint16_t value);

// The sum over the pseudo header of TCP, UDP and ICMPv6. Addresses: 4 bytes each, or 16 bytes each.
std::uint64_t pseudo_header_sum(std::span<std::uint8_t const> source, std::span<std::uint8_t const> destination,
                                std::uint8_t protocol, std::uint32_t length_bytes);

// Completes an LVIF_CSUM_PARTIAL frame in place: sums from csum_start to the end, the field holding the sum of the
// pseudo header (not complemented), and stores the result at csum_start + csum_offset; 0 becomes 0xffff, which is the
// same to TCP and is what UDP asks for. False, and nothing is written, when the field is not inside the frame.
bool complete_checksum(std::span<std::uint8_t> frame, std::size_t csum_start, std::size_t csum_offset);

// Whether bytes that include their own checksum sum up right, with `pseudo_sum` for what goes before.
bool checksum_ok(std::span<std::uint8_t const> bytes, std::uint64_t pseudo_sum = 0);

// Whether the TCP, UDP, ICMP or ICMPv6 checksum and, for IPv4, the header checksum of `packet` (from the IP header on,
// without Ethernet padding) are right. A UDP checksum of 0 over IPv4 counts as right, so do fragments, other protocols
// and IPv6 extension headers, of which only the header checksum is looked at. False for malformed packets.
bool packet_checksums_ok(std::span<std::uint8_t const> packet);

// The checksum field after one 16-bit word of what it covers has changed (RFC 1624, equation 3). All as loaded with
// load_be16.
std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word);

}  // namespace librettos
