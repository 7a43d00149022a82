// SPDX-License-Identifier: BSD-2-Clause
// Attacks by frames: spoofed, malformed, with lies about offloads.
#include <algorithm>
#include <random>

#include "tests/hostile/attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;
using Bytes = std::vector<std::uint8_t>;

constexpr int repetitions = 500;
constexpr std::size_t ethernet = 14;
constexpr std::size_t ip = ethernet + 20;

void put16(Bytes& frame, std::size_t at, std::uint32_t value) {
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
}

void fill_ip_checksum(Bytes& frame) {
    put16(frame, ethernet + 10, 0);
    std::uint32_t sum = 0;
    for (std::size_t at = ethernet; at < ip; at += 2)
        sum += static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]);
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(frame, ethernet + 10, ~sum & 0xffff);
}

// UDP (17) or TCP (6) over IPv4 to the subnet's first host, port 9.
Bytes transport_frame(Identity const& from, std::uint8_t protocol, std::uint16_t source_port,
                      std::size_t payload = 32) {
    std::size_t const header = protocol == 6 ? 20 : 8;
    Bytes frame(ip + header + payload, 0);
    std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
    frame[0] = 0x02;
    std::copy(from.mac.begin(), from.mac.end(), frame.begin() + 6);
    put16(frame, 12, 0x0800);
    frame[ethernet] = 0x45;
    put16(frame, ethernet + 2, static_cast<std::uint32_t>(frame.size() - ethernet));
    frame[ethernet + 8] = 64;
    frame[ethernet + 9] = protocol;
    std::copy(from.ipv4.begin(), from.ipv4.end(), frame.begin() + ethernet + 12);
    std::copy(from.ipv4.begin(), from.ipv4.end(), frame.begin() + ethernet + 16);
    frame[ethernet + 19] = 1;
    put16(frame, ip, source_port);
    put16(frame, ip + 2, 9);
    if (protocol == 6) {
        frame[ip + 12] = 0x50;
        frame[ip + 13] = 0x10;
    } else {
        put16(frame, ip + 4, static_cast<std::uint32_t>(8 + payload));
    }
    fill_ip_checksum(frame);
    return frame;
}

Json send_many(Rogue& rogue, Bytes const& frame, lvif_record const& record = {}) {
    bool taken = true;
    for (int i = 0; taken && i < repetitions; ++i)
        taken = rogue.send(frame, record);
    taken = rogue.await_taken() && taken;
    auto result = still_there(rogue);
    result["taken"] = taken;
    result["sent"] = repetitions;
    return result;
}

Json spoofed_mac(Rogue& rogue, Setting const&) {
    auto identity = rogue.identity();
    identity.mac[5] ^= 1;
    return send_many(rogue, transport_frame(identity, 17, rogue.own_udp_port()));
}

Json spoofed_ip(Rogue& rogue, Setting const&) {
    auto identity = rogue.identity();
    identity.ipv4[3] ^= 0x40;
    return send_many(rogue, transport_frame(identity, 17, rogue.own_udp_port()));
}

Json foreign_udp_port(Rogue& rogue, Setting const&) {
    return send_many(rogue, transport_frame(rogue.identity(), 17, 80));
}

// The port of the honest guest's server.
Json foreign_tcp_port(Rogue& rogue, Setting const&) {
    return send_many(rogue, transport_frame(rogue.identity(), 6, 80));
}

Json vlan_tagged(Rogue& rogue, Setting const&) {
    auto frame = transport_frame(rogue.identity(), 17, rogue.own_udp_port());
    Bytes const tag{0x81, 0x00, 0x00, 0x07};
    frame.insert(frame.begin() + 12, tag.begin(), tag.end());
    return send_many(rogue, frame);
}

// Says that the gateway is at the rogue's MAC.
Json spoofed_arp(Rogue& rogue, Setting const&) {
    auto const identity = rogue.identity();
    Bytes frame(42, 0);
    std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
    std::copy(identity.mac.begin(), identity.mac.end(), frame.begin() + 6);
    put16(frame, 12, 0x0806);
    put16(frame, 14, 1);
    put16(frame, 16, 0x0800);
    frame[18] = 6;
    frame[19] = 4;
    put16(frame, 20, 2);
    std::copy(identity.mac.begin(), identity.mac.end(), frame.begin() + 22);
    std::copy(identity.ipv4.begin(), identity.ipv4.end(), frame.begin() + 28);
    frame[31] = 1;
    std::copy(frame.begin() + 28, frame.begin() + 32, frame.begin() + 38);
    return send_many(rogue, frame);
}

// An unsolicited neighbour advertisement for another's IPv6 address.
Json spoofed_nd(Rogue& rogue, Setting const&) {
    auto const identity = rogue.identity();
    Bytes frame(ethernet + 40 + 32, 0);
    frame[0] = 0x33;
    frame[1] = 0x33;
    frame[5] = 1;
    std::copy(identity.mac.begin(), identity.mac.end(), frame.begin() + 6);
    put16(frame, 12, 0x86dd);
    frame[ethernet] = 0x60;
    put16(frame, ethernet + 4, 32);
    frame[ethernet + 6] = 58;
    frame[ethernet + 7] = 255;
    for (std::size_t const at : {ethernet + 8, ethernet + 40 + 8}) {  // source, and target: fe80::1
        frame[at] = 0xfe;
        frame[at + 1] = 0x80;
        frame[at + 15] = 1;
    }
    frame[ethernet + 24] = 0xff;
    frame[ethernet + 25] = 0x02;
    frame[ethernet + 39] = 1;
    frame[ethernet + 40] = 136;
    frame[ethernet + 44] = 0x20;
    frame[ethernet + 64] = 2;
    frame[ethernet + 65] = 1;
    std::copy(identity.mac.begin(), identity.mac.end(), frame.begin() + ethernet + 66);
    return send_many(rogue, frame);
}

// Frames of random bytes behind an honest Ethernet header, and honest frames with bytes changed and cut off.
Json random_frames(Rogue& rogue, Setting const& setting) {
    std::mt19937 random{6};
    auto const identity = rogue.identity();
    std::uint64_t sent = 0;
    bool taken = true;
    for (auto const end = in(setting.time); taken && before(end); ++sent) {
        auto frame = transport_frame(identity, random() % 2 == 0 ? 17 : 6, rogue.own_udp_port(), random() % 1400);
        if (random() % 3 == 0)
            put16(frame, 12,
                  std::array{0x86ddU, 0x0806U, 0x8100U, static_cast<unsigned>(random() & 0xffff)}[random() % 4]);
        std::size_t const changes = random() % 8 == 0 ? frame.size() : random() % 12;
        for (std::size_t i = 0; i < changes; ++i)
            frame[12 + random() % (std::min<std::size_t>(frame.size(), 90) - 12)] = static_cast<std::uint8_t>(random());
        if (random() % 2 == 0)
            frame.resize(14 + random() % (frame.size() - 13));
        lvif_record record{};
        if (random() % 2 == 0) {
            record.flags = static_cast<std::uint16_t>(random() % 0x20) & ~LVIF_PAD;
            record.csum_start = static_cast<std::uint16_t>(random() % 2 == 0 ? random() : random() % 64);
            record.csum_offset = static_cast<std::uint16_t>(random() % 2 == 0 ? random() : random() % 20);
            record.gso_size = static_cast<std::uint16_t>(random() % 2 == 0 ? random() : random() % 3);
            record.header_length = static_cast<std::uint16_t>(random() % 2 == 0 ? random() : random() % 80);
        }
        taken = rogue.send(frame, record);
    }
    auto result = still_there(rogue);
    result["taken"] = rogue.await_taken() && taken;
    result["sent"] = sent;
    return result;
}

// To be cut into segments of one byte each; with headers longer than the frame; that are no TCP.
Json gso_lies(Rogue& rogue, Setting const&) {
    auto const frame = transport_frame(rogue.identity(), 6, rogue.own_udp_port(), 20'000);
    bool taken = true;
    for (int i = 0; taken && i < repetitions; ++i) {
        lvif_record record{};
        record.flags = LVIF_CSUM_PARTIAL | (i % 2 == 0 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6);
        record.csum_start = ip;
        record.csum_offset = 16;
        record.gso_size = i % 3 == 0 ? 0 : 1;
        record.header_length = i % 5 == 0 ? 65535 : ip + 20;
        taken = rogue.send(frame, record);
    }
    auto result = still_there(rogue);
    result["taken"] = rogue.await_taken() && taken;
    result["sent"] = repetitions;
    return result;
}

Json long_frames(Rogue& rogue, Setting const&) {
    return send_many(rogue, transport_frame(rogue.identity(), 17, rogue.own_udp_port(), 30'000));
}

}  // namespace

std::vector<Attack> frame_attacks() {
    return {
        {"spoofed-mac", true, spoofed_mac},
        {"spoofed-ip", true, spoofed_ip},
        {"spoofed-arp", true, spoofed_arp},
        {"spoofed-nd", true, spoofed_nd},
        {"foreign-udp-port", true, foreign_udp_port},
        {"foreign-tcp-port", true, foreign_tcp_port},
        {"vlan-tagged", true, vlan_tagged},
        {"random-frames", true, random_frames},
        {"gso-lies", true, gso_lies},
        {"long-frames", true, long_frames},
    };
}

}  // namespace librettos::hostile
