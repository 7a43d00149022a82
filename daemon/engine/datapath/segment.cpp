// SPDX-License-Identifier: BSD-2-Clause
// Software TSO: what a segment's headers take over from the large frame's, and what differs.
#include "daemon/engine/datapath/segment.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

std::optional<Segmenter> Segmenter::make(std::span<std::uint8_t const> frame, std::uint16_t gso_size) {
    Segmenter segmenter;
    segmenter.frame_ = frame;
    segmenter.gso_size_ = gso_size;
    segmenter.headers_known_ = std::min(frame.size(), most_header_bytes);
    if (gso_size == 0 || segmenter.headers_known_ < ether_bytes) {
        return std::nullopt;
    }
    std::memcpy(segmenter.headers_.data(), frame.data(), segmenter.headers_known_);
    if (!segmenter.read_ip() || !segmenter.read_tcp()) {
        return std::nullopt;
    }
    return segmenter;
}

bool Segmenter::read_ip() {
    std::uint8_t const* const at = headers_.data();
    bool const tagged = load_be16(at + 12) == ethertype::vlan;
    ip_at_ = tagged ? ether_bytes + vlan_tag_bytes : ether_bytes;
    std::uint16_t const type = load_be16(at + ip_at_ - 2);
    std::uint8_t const* const ip = at + ip_at_;
    if (type == ethertype::ipv4 && headers_known_ >= ip_at_ + ipv4_bytes) {
        ipv4_ = true;
        tcp_at_ = ip_at_ + std::size_t{ip[0] & 15u} * 4;
        end_ = ip_at_ + load_be16(ip + 2);
        address_sum_ = pseudo_header_sum({ip + 12, 4}, {ip + 16, 4}, protocol::tcp, 0);
        return ip[0] >> 4 == 4 && tcp_at_ >= ip_at_ + ipv4_bytes && ip[9] == protocol::tcp &&
               (load_be16(ip + 6) & 0x3fff) == 0 && end_ <= frame_.size();
    }
    if (type == ethertype::ipv6 && headers_known_ >= ip_at_ + ipv6_bytes) {
        tcp_at_ = ip_at_ + ipv6_bytes;
        end_ = tcp_at_ + load_be16(ip + 4);
        address_sum_ = pseudo_header_sum({ip + 8, 16}, {ip + 24, 16}, protocol::tcp, 0);
        return ip[0] >> 4 == 6 && ip[6] == protocol::tcp && end_ <= frame_.size();
    }
    return false;
}

bool Segmenter::read_tcp() {
    if (headers_known_ < tcp_at_ + tcp_bytes) {
        return false;
    }
    std::size_t const length = std::size_t{headers_[tcp_at_ + 12]} / 16 * 4;
    payload_at_ = tcp_at_ + length;
    return length >= tcp_bytes && payload_at_ <= end_ && payload_at_ <= headers_known_;
}

std::size_t Segmenter::count() const {
    return segment_count(end_, payload_at_, gso_size_);
}

std::size_t Segmenter::segment_bytes(std::size_t index) const {
    assert(index < count());
    return payload_at_ + std::min(gso_size_, end_ - payload_at_ - index * gso_size_);
}

std::size_t Segmenter::write(std::size_t index, std::span<std::uint8_t> out) const {
    std::size_t const bytes = segment_bytes(index);
    if (out.size() < bytes) {
        return 0;
    }
    std::span<std::uint8_t> const segment = out.first(bytes);
    std::memcpy(segment.data(), headers_.data(), payload_at_);
    std::memcpy(segment.data() + payload_at_, frame_.data() + payload_at_ + index * gso_size_, bytes - payload_at_);
    finish_ip(segment, index);
    finish_tcp(segment, index);
    return bytes;
}

void Segmenter::finish_ip(std::span<std::uint8_t> segment, std::size_t index) const {
    std::uint8_t* const ip = segment.data() + ip_at_;
    if (!ipv4_) {
        store_be16(ip + 4, static_cast<std::uint16_t>(segment.size() - tcp_at_));
        return;
    }
    store_be16(ip + 2, static_cast<std::uint16_t>(segment.size() - ip_at_));
    store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + index));
    store_be16(ip + 10, 0);
    checksum_store(ip + 10, checksum_finish(checksum_add(segment.subspan(ip_at_, tcp_at_ - ip_at_))));
}

void Segmenter::finish_tcp(std::span<std::uint8_t> segment, std::size_t index) const {
    std::uint8_t* const tcp = segment.data() + tcp_at_;
    store_be32(tcp + 4, static_cast<std::uint32_t>(load_be32(tcp + 4) + index * gso_size_));
    if (index > 0) {
        tcp[13] &= static_cast<std::uint8_t>(~tcp_flag::cwr);
    }
    if (index + 1 < count()) {
        tcp[13] &= static_cast<std::uint8_t>(~(tcp_flag::fin | tcp_flag::psh));
    }
    store_be16(tcp + 16, 0);
    auto const length = static_cast<std::uint16_t>(segment.size() - tcp_at_);
    std::uint64_t const sum = checksum_add16(length, address_sum_);
    checksum_store(tcp + 16, checksum_finish(checksum_add(segment.subspan(tcp_at_), sum)));
}

}  // namespace librettos
