// SPDX-License-Identifier: BSD-2-Clause
// The frames that the server makes itself: ARP and ND answers, echo replies, resets, port unreachable. One at a time,
// in one buffer; addressed back to where the packet came from and tagged as it was. Whether an answer is due is the
// caller's business.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "daemon/engine/datapath/packet.hpp"

namespace librettos {

struct ArpMessage {
    std::uint16_t operation = 0;
    MacAddress sender_mac;
    Ipv4Address sender_ip;
    MacAddress target_mac;
    Ipv4Address target_ip;
};

class Answers {
  public:
    Answers();

    void clear() { size_ = 0; }
    std::span<std::uint8_t const> frame() const { return {buffer_.data(), size_}; }

    // "asked.target_ip is at mac".
    void arp_reply(Packet const& packet, ArpMessage const& asked, MacAddress const& mac);

    // "target is at mac", to all nodes when the one who asks has no address yet.
    void neighbour_advertisement(Packet const& packet, Ipv6Address const& target, MacAddress const& mac);

    // Of a whole packet or of one fragment, which must be there completely (Packet::whole()).
    void echo_reply(Packet const& packet, MacAddress const& mac);

    // False, and no answer, when the segment is a reset itself or its header is cut.
    bool tcp_reset(Packet const& packet, MacAddress const& mac);

    void port_unreachable(Packet const& packet, MacAddress const& mac);

  private:
    void ethernet(Packet const& packet, MacAddress const& to, MacAddress const& from);
    std::uint8_t* append(std::size_t bytes);  // zeroed
    void append(std::span<std::uint8_t const> bytes);
    void ip(Packet const& packet, std::uint8_t transport, std::size_t payload_bytes);
    void ipv4(Packet const& packet, std::uint16_t id, std::uint16_t fragment_word, std::uint8_t transport,
              std::size_t payload_bytes);
    void ipv6(IpAddress const& source, IpAddress const& destination, std::uint8_t transport, std::uint8_t hop_limit,
              std::size_t payload_bytes);
    std::uint64_t pseudo_sum(std::uint8_t transport, std::size_t bytes) const;  // of the packet made by ip(), ipv6()

    std::vector<std::uint8_t> buffer_;
    std::size_t size_ = 0;
    std::size_t ip_at_ = 0;
};

// Reads an ARP packet for IPv4 over Ethernet. False: malformed.
bool parse_arp(Packet const& packet, ArpMessage& arp);

}  // namespace librettos
