// SPDX-License-Identifier: BSD-2-Clause
// RSS hash and queue.
#include "tests/nic82599/rss.hpp"

#include <array>
#include <vector>

namespace nic82599 {
namespace {

constexpr std::size_t key_bytes = 40;

std::array<std::uint8_t, key_bytes> key_of(RegisterFile const& registers) {
    std::array<std::uint8_t, key_bytes> key{};
    for (unsigned i = 0; i < key_bytes; ++i) {
        key[i] = static_cast<std::uint8_t>(registers.get(reg::RSSRK(i / 4)) >> (8 * (i % 4)));
    }
    return key;
}

struct Kind {
    std::uint8_t type = 0;
    bool ports = false;
};

Kind kind_of(std::uint32_t fields, Headers const& headers) {
    bool const v4 = headers.network == Headers::Network::ipv4;
    if (headers.transport == Headers::Transport::tcp && (fields & (v4 ? reg::MRQC_TCP4 : reg::MRQC_TCP6)) != 0) {
        return {static_cast<std::uint8_t>(v4 ? 1 : 3), true};
    }
    if (headers.transport == Headers::Transport::udp && (fields & (v4 ? reg::MRQC_UDP4 : reg::MRQC_UDP6)) != 0) {
        return {static_cast<std::uint8_t>(v4 ? 7 : 8), true};
    }
    if ((fields & (v4 ? reg::MRQC_IP4 : reg::MRQC_IP6)) != 0) {
        return {static_cast<std::uint8_t>(v4 ? 2 : 5), false};
    }
    return {};
}

bool rss_selected(std::uint32_t mode) {
    return mode == 1 || mode == 4 || mode == 5 || mode == 0xA || mode == 0xB;
}

}  // namespace

std::uint32_t toeplitz(std::span<std::uint8_t const> key, std::span<std::uint8_t const> input) {
    std::uint32_t hash = 0;
    std::uint32_t window = be32(key, 0);
    for (std::size_t i = 0; i < input.size(); ++i) {
        std::uint8_t const next = i + 4 < key.size() ? key[i + 4] : 0;
        for (int bit = 7; bit >= 0; --bit) {
            if ((input[i] >> bit & 1) != 0) {
                hash ^= window;
            }
            window = window << 1 | (next >> bit & 1);
        }
    }
    return hash;
}

std::optional<RssHash> rss_hash(RegisterFile const& registers, std::span<std::uint8_t const> frame,
                                Headers const& headers) {
    std::uint32_t const control = registers.get(reg::MRQC);
    if (!rss_selected(control & 0xF)) {
        return std::nullopt;
    }
    if (headers.network == Headers::Network::none) {
        return RssHash{};
    }
    Kind const kind = kind_of(control, headers);
    if (kind.type == 0) {
        return RssHash{};
    }
    bool const v4 = headers.network == Headers::Network::ipv4;
    auto const addresses = frame.subspan(headers.network_at + (v4 ? 12 : 8), v4 ? 8 : 32);
    std::vector<std::uint8_t> input(addresses.begin(), addresses.end());
    if (kind.ports) {
        auto const ports = frame.subspan(headers.transport_at, 4);
        input.insert(input.end(), ports.begin(), ports.end());
    }
    return RssHash{toeplitz(key_of(registers), input), kind.type};
}

unsigned rss_queue(RegisterFile const& registers, RssHash const& hash) {
    if (hash.type == 0) {
        return 0;
    }
    unsigned const index = hash.value & 0x7F;
    unsigned const entry = registers.get(reg::RETA(index / 4)) >> (8 * (index % 4)) & 0xF;
    switch (registers.get(reg::MRQC) & 0xF) {
        case 0xA:
            return entry & 3;
        case 0xB:
            return entry & 1;
        default:
            return entry;
    }
}

}  // namespace nic82599
