// SPDX-License-Identifier: BSD-2-Clause
// Any frames, from the wire and from guests, in any order: what the classifier lets pass tells the truth about its
// sender, by a reading of the headers of this file's own, and goes to who is there; its answers are frames; what it
// holds is bounded and comes back.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <vector>

#include "tests/fuzz/input.hpp"
#include "tests/unit/datapath/small_world.hpp"

namespace {

using namespace librettos;

constexpr Slot slots = 5;  // 0 is the wire
constexpr std::size_t most_frame_bytes = 2048;
constexpr std::size_t most_held = 256;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

std::size_t be16(std::span<std::uint8_t const> bytes, std::size_t at) {
    return std::size_t{bytes[at]} << 8 | bytes[at + 1];
}

template <typename Address>
bool lies_at(std::span<std::uint8_t const> frame, std::size_t at, Address const& address) {
    return std::memcmp(frame.data() + at, &address, sizeof address) == 0;
}

struct Transport {
    std::uint8_t number = 0;
    std::size_t at = 0;
    bool later_fragment = false;
};

// Of a frame that was let pass, so its headers are whole; `ip` is where IPv4 or IPv6 starts.
Transport transport_of(std::span<std::uint8_t const> frame, std::size_t ip) {
    if (frame[ip] >> 4 == 4) {
        return {frame[ip + 9], ip + (frame[ip] & 15u) * 4, (be16(frame, ip + 6) & 0x1fff) != 0};
    }
    Transport next{frame[ip + 6], ip + 40};
    while (next.number == 0 || next.number == 43 || next.number == 60 || next.number == 44 || next.number == 51) {
        std::size_t const at = next.at;
        if (next.number == 44 && be16(frame, at + 2) >> 3 != 0) {
            return {frame[at], at + 8, true};
        }
        std::size_t const length = std::size_t{frame[at + 1]};
        next.at += next.number == 44 ? 8 : next.number == 51 ? length * 4 + 8 : length * 8 + 8;
        next.number = frame[at];
    }
    return next;
}

class Session {
  public:
    // The world is made once, since that takes far longer than to classify; `now_us` is later than all before it by
    // more than what the classifier remembers.
    Session(Input& input, test::SmallWorld& world, NetworkIdentity const& network, std::uint64_t now_us)
        : input_(input), world_(world), now_us_(now_us) {
        directory().set_network(network);
    }
    ~Session() {
        for (auto const& [entry, before] : changed_ports_) {
            *entry = before;
        }
        for (Slot slot = 1; slot < slots; ++slot) {
            if (!directory().present(slot)) {
                come_or_go(slot);
            }
        }
        for (Slot slot : senders_) {  // of groups that they joined, which time does not end
            world_.classifier().forget(slot);
        }
        while (void* const token = world_.classifier().take_expired(UINT64_MAX)) {
            take_back(token);
        }
        require(held_.empty() && world_.classifier().held() == 0);
    }
    Session(Session const&) = delete;
    Session& operator=(Session const&) = delete;

    std::uint64_t now_us() const { return now_us_; }

    void step() {
        auto const what = input_.take<std::uint8_t>();
        switch (what % 16) {
            case 13:
                now_us_ += input_.take<std::uint32_t>();
                while (void* const token = world_.classifier().take_expired(now_us_)) {
                    take_back(token);
                }
                break;
            case 14:
                change_port();
                break;
            case 15:
                come_or_go(static_cast<Slot>(1 + what / 16 % (slots - 1)));
                break;
            default:
                frame(what / 16 % slots);
        }
        require(world_.classifier().held() == held_.size() && held_.size() <= most_held);
    }

  private:
    Directory& directory() { return world_.directory(); }

    void change_port() {
        auto const bits = input_.take<std::uint8_t>();
        std::uint32_t const entry =
            lvif_port_entry(static_cast<lvif_port_state>(bits & 3u), static_cast<std::uint16_t>(10 + bits / 4 % 16), 0);
        std::uint16_t const ports[] = {80, 443, 53, 5353, 9000, 4242};
        std::uint16_t const port = ports[input_.take<std::uint8_t>() % std::size(ports)];
        std::uint32_t& changed = ((bits & 128u) != 0 ? world_.ports().tcp : world_.ports().udp)[port];
        changed_ports_.try_emplace(&changed, changed);
        changed = entry;
    }

    void come_or_go(Slot slot) {
        if (directory().present(slot)) {
            directory().remove(slot);
        } else {
            directory().add(slot, world_.identity(slot));
        }
        world_.classifier().forget(slot);
    }

    MacAddress known_mac(std::uint8_t which) {
        switch (which % 8) {
            case 5:
                return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
            case 6:
                return {{0x01, 0x00, 0x5e, 0, 0, 0xfb}};
            case 7:
                return {{2, 0, 0, 0, 0, 0xfe}};
            default:
                return which % 8 == 0 ? directory().network().mac : world_.identity(which % 8).mac;
        }
    }

    template <typename Address>
    Address known_address(std::uint8_t which, Address GuestIdentity::*member, Address const& other) {
        return which % 8 == 0 || which % 8 >= slots ? other : world_.identity(which % 8).*member;
    }

    // Puts the addresses of this small world where they belong, so that the fuzzer need not guess them.
    void address(std::vector<std::uint8_t>& bytes) {
        auto const choice = input_.take<std::uint8_t>();
        auto const macs = input_.take<std::uint8_t>();
        auto const addresses = input_.take<std::uint8_t>();
        auto const put = [&bytes](std::size_t at, auto const& value) {
            if (at + sizeof value <= bytes.size()) {
                std::memcpy(bytes.data() + at, &value, sizeof value);
            }
        };
        std::size_t const type_at = (choice & 8u) != 0 ? 16 : 12;
        put(0, known_mac(macs));
        put(6, known_mac(macs >> 4));
        if (type_at == 16) {
            put(12, std::array<std::uint8_t, 4>{0x81, 0, 0, static_cast<std::uint8_t>((choice & 16u) != 0 ? 7 : 0)});
        }
        Ipv4Address const far4 = test::ipv4(8, 8, 8, 8);
        Ipv6Address const far6{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb}};
        auto const size = static_cast<std::uint16_t>(std::max<std::size_t>(bytes.size(), type_at + 42) - type_at - 2);
        auto const size_be = static_cast<std::uint16_t>(size << 8 | size >> 8);
        std::size_t const ip = type_at + 2;
        switch (choice % 4) {
            case 0:
                put(type_at, std::array<std::uint8_t, 3>{8, 0, static_cast<std::uint8_t>(choice & 32u ? 0x46 : 0x45)});
                put(ip + 2, size_be);
                put(ip + 12, known_address(addresses, &GuestIdentity::ipv4, far4));
                put(ip + 16, known_address(addresses >> 4, &GuestIdentity::ipv4, far4));
                break;
            case 1:
                put(type_at, std::array<std::uint8_t, 3>{0x86, 0xdd, 0x60});
                put(ip + 4, static_cast<std::uint16_t>((size - 40) << 8 | (size - 40) >> 8));
                put(ip + 8, known_address(addresses, &GuestIdentity::ipv6, far6));
                put(ip + 24, known_address(addresses >> 4, &GuestIdentity::ipv6, far6));
                break;
            case 2:
                put(type_at, std::array<std::uint8_t, 8>{8, 6, 0, 1, 8, 0, 6, 4});
                put(ip + 8, known_mac(macs >> 4));
                put(ip + 14, known_address(addresses, &GuestIdentity::ipv4, far4));
                put(ip + 24, known_address(addresses >> 4, &GuestIdentity::ipv4, far4));
                break;
            default:
                break;
        }
    }

    void frame(Slot from) {
        now_us_ += input_.take<std::uint8_t>();
        std::size_t const length = input_.take<std::uint16_t>() % most_frame_bytes;
        std::string const text = input_.take_text(length);
        std::vector<std::uint8_t> bytes(text.begin(), text.end());
        address(bytes);
        auto offload = input_.take<lvif_record>();
        if ((offload.flags & LVIF_PAD) != 0) {
            offload = {};
        }
        offload.length = std::max(offload.length % 65536, static_cast<std::uint32_t>(bytes.size()));
        if (from != wire_slot && !directory().present(from)) {
            return;
        }
        if (from != wire_slot) {
            senders_.insert(from);
        }
        Classifier& classifier = world_.classifier();
        Verdict const verdict = from == wire_slot ? classifier.from_wire(bytes, offload.length, now_us_)
                                                  : classifier.from_guest(from, bytes, offload, now_us_);
        check_verdict(verdict, from, bytes);
        if (verdict.hold) {
            auto* const token = reinterpret_cast<void*>(++last_token_);
            if (classifier.hold(token)) {
                held_.insert(token);
            }
        } else if (verdict.released) {
            while (void* const token = classifier.take_released()) {
                take_back(token);
            }
        }
    }

    void take_back(void* token) { require(held_.erase(token) == 1); }

    void check_target(Slot slot, Slot from) {
        require(slot != wire_slot && slot < max_slots && slot != from && directory().present(slot));
    }

    void check_verdict(Verdict const& verdict, Slot from, std::span<std::uint8_t const> frame) {
        bool const passed = verdict.to_wire || verdict.to_targets || verdict.slot != wire_slot;
        require(verdict.drop == Counter::none ? passed || verdict.hold || verdict.reply : !passed && !verdict.hold);
        require(!verdict.to_wire || from != wire_slot);
        require(!verdict.hold || from == wire_slot);
        require(!verdict.released || verdict.slot != wire_slot);
        if (verdict.slot != wire_slot) {
            check_target(verdict.slot, from);
        }
        auto const targets = world_.classifier().targets();
        require(!verdict.to_targets || !targets.empty());
        if (verdict.to_targets) {
            require(std::set<Slot>(targets.begin(), targets.end()).size() == targets.size());
            std::for_each(targets.begin(), targets.end(), [&](Slot slot) { check_target(slot, from); });
        }
        if (verdict.reply) {
            check_reply(frame, from);
        }
        if (passed && from != wire_slot) {
            check_truth(directory().guest(from), frame);
        }
        if (verdict.slot != wire_slot && from == wire_slot) {
            check_receiver(directory().guest(verdict.slot), frame);
        }
    }

    void check_reply(std::span<std::uint8_t const> asked, Slot from) {
        auto const reply = world_.classifier().reply();
        require(reply.size() >= 14 && reply.size() <= std::max<std::size_t>(asked.size() + 128, 1514));
        bool const tagged = be16(reply, 12) == 0x8100;
        require(tagged == (from == wire_slot && be16(asked, 12) == 0x8100));
        std::size_t const type = be16(reply, tagged ? 16 : 12);
        require(type == 0x0800 || type == 0x86dd || type == 0x0806);
        require((reply[6] & 1) == 0);
        bool local = lies_at(reply, 6, directory().network().mac);
        for (Slot slot : directory().dedicated_slots()) {
            local = local || lies_at(reply, 6, directory().guest(slot).mac);
        }
        require(local);
    }

    bool owns(GuestIdentity const& guest, std::span<std::uint8_t const> frame, Transport const& transport,
              std::size_t port_at) {
        std::size_t const port = be16(frame, transport.at + port_at);
        std::uint32_t const entry = (transport.number == 6 ? world_.ports().tcp : world_.ports().udp)[port];
        return (entry & (LVIF_PORT_STATE_MASK | LVIF_PORT_OWNER_MASK)) ==
               lvif_port_entry(LVIF_PORT_BOUND, guest.domain.value, 0);
    }

    static bool has_port(Transport const& transport) {
        return !transport.later_fragment && (transport.number == 6 || transport.number == 17);
    }

    // What a guest sent and may go on: its own MAC address, its own IP address, a port that it owns.
    void check_truth(GuestIdentity const& guest, std::span<std::uint8_t const> frame) {
        bool const shared = guest.mode == GuestMode::shared;
        require(frame.size() >= 14 && lies_at(frame, 6, guest.mac));
        std::size_t const type = be16(frame, 12);
        require(type == 0x0800 || type == 0x86dd || type == 0x0806);
        if (type == 0x0806) {
            bool const probe = lies_at(frame, 28, Ipv4Address{});
            require(lies_at(frame, 22, guest.mac) && lies_at(frame, probe ? 38 : 28, guest.ipv4));
            return;
        }
        Transport const transport = transport_of(frame, 14);
        if (type == 0x0800) {
            bool const dhcp = !shared && lies_at(frame, 26, Ipv4Address{}) && transport.number == 17 &&
                              be16(frame, transport.at) == 68 && be16(frame, transport.at + 2) == 67;
            require(lies_at(frame, 26, guest.ipv4) || dhcp);
        } else {
            bool const link_local = !shared && frame[22] == 0xfe && frame[23] == 0x80;
            bool const none_yet = lies_at(frame, 22, Ipv6Address{}) && transport.number == 58;
            require(lies_at(frame, 22, guest.ipv6) || link_local || none_yet);
        }
        require(!shared || !has_port(transport) || owns(guest, frame, transport, 0));
    }

    // A frame from the wire for one guest alone: a dedicated one's own MAC address, or a port of a shared one.
    void check_receiver(GuestIdentity const& guest, std::span<std::uint8_t const> frame) {
        if (guest.mode == GuestMode::dedicated) {
            require((frame[0] & 1) != 0 || lies_at(frame, 0, guest.mac));
            return;
        }
        std::size_t const ip = be16(frame, 12) == 0x8100 ? 18 : 14;
        Transport const transport = transport_of(frame, ip);
        require(!has_port(transport) || owns(guest, frame, transport, 2));
    }

    Input& input_;
    test::SmallWorld& world_;
    std::uint64_t now_us_;
    std::map<std::uint32_t*, std::uint32_t> changed_ports_;
    std::uintptr_t last_token_ = 0;
    std::set<void*> held_;
    std::set<Slot> senders_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
    Input input(bytes, size);
    NetworkIdentity network = test::small_network();
    auto const options = input.take<std::uint8_t>();
    network.vlan = (options & 1u) != 0 ? 7 : 0;
    network.unowned_tcp = network.unowned_udp = (options & 2u) != 0 ? UnownedPort::silent : UnownedPort::answer;
    network.replies_per_s = (options & 4u) != 0 ? 1 : 10'000;
    static test::SmallWorld world;
    static std::uint64_t now_us = 0;
    Session session(input, world, network, now_us += 100'000'000);
    while (!input.empty()) {
        session.step();
    }
    now_us = session.now_us();
    return 0;
}
