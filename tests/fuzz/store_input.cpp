// SPDX-License-Identifier: BSD-2-Clause
// Fuzzing: what a guest sends to hypervisord. Each record of the input (a peer, an operation, arguments, texts) becomes
// a request to a Machine without sockets; whatever comes, its counts stay within their bounds and go back to nothing.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "drivers/hypervisor/local/machine.hpp"

namespace {

using namespace librettos;

class Input {
  public:
    Input(std::uint8_t const* bytes, std::size_t size) : at_{bytes}, end_{bytes + size} {}
    bool empty() const { return at_ == end_; }
    std::uint8_t byte() { return empty() ? 0 : *at_++; }
    std::string text() {
        std::size_t const wanted = byte();
        std::size_t const size = std::min<std::size_t>(wanted, static_cast<std::size_t>(end_ - at_));
        std::string result(reinterpret_cast<char const*>(at_), size);
        at_ += size;
        return result;
    }

  private:
    std::uint8_t const* at_;
    std::uint8_t const* end_;
};

void require(bool condition) {
    if (!condition)
        std::abort();
}

// The bytes of one packet: a whole request, or, one time in eight, anything.
std::vector<std::byte> packet_from(Input& input) {
    std::uint8_t const operation = input.byte();
    std::string payload;
    if (operation >= 0xe0) {
        payload = input.text();
        auto const* bytes = reinterpret_cast<std::byte const*>(payload.data());
        return {bytes, bytes + payload.size()};
    }
    lvif_hvp_header header{};
    header.magic = LVIF_HVP_MAGIC;
    header.version = LVIF_HVP_VERSION;
    header.operation = static_cast<std::uint16_t>(operation % LVIF_HVP_OPERATIONS);
    std::uint8_t const shape = input.byte();
    for (int i = 0; i < shape % 6; i++)
        header.argument[i] = static_cast<std::uint64_t>(input.byte()) << (shape & 8u ? 8 : 0);
    for (int i = 0; i < (shape >> 4) % 3; i++)
        payload += input.text() + '\0';
    header.length = static_cast<std::uint32_t>(payload.size());
    std::vector<std::byte> packet(sizeof(header) + payload.size());
    std::memcpy(packet.data(), &header, sizeof(header));
    std::memcpy(packet.data() + sizeof(header), payload.data(), payload.size());
    return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
    Machine::Settings settings;
    settings.ports.quarantine = std::chrono::seconds{0};
    settings.domains_max = 3;
    Machine machine{settings};
    std::uint64_t const nodes = machine.statistics().store_nodes;
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 4; i++) {
        peers.push_back(std::make_unique<Peer>(i == 3 ? 0 : 65534, Machine::guest_watches_max));
        machine.join(*peers.back());
    }
    Input input{bytes, size};
    while (!input.empty()) {
        Peer& peer = *peers[input.byte() % peers.size()];
        std::vector<std::byte> const packet = packet_from(input);
        std::vector<UniqueFd> fds;
        auto request = parse_request(packet, fds);
        if (!request)
            continue;
        Reply const reply = machine.handle(peer, *request);
        require(reply.status <= 0 && reply.payload.size() <= LVIF_HVP_PAYLOAD_MAX);
        require(peer.uid == 0 || !peer.role || *peer.role == LVIF_HV_GUEST);
        require(peer.role || machine.statistics().watches == 0 || peer.watches.watches() == 0);
        for (Peer* other : machine.take_peers_with_events())
            if (input.byte() % 2 == 0)
                while (other->watches.front() != nullptr)
                    other->watches.pop();
    }
    for (auto const& peer : peers)
        machine.leave(*peer);
    lvif_hv_totals const left = machine.statistics();
    require(left.domains == 0 && left.connections == 0 && left.watches == 0 && left.queued_events == 0);
    require(left.regions == 0 && left.channels == 0 && left.bound_channels == 0 && left.owned_ports == 0);
    require(left.quarantined_ports == 0 && left.store_nodes >= nodes);
    return 0;
}
