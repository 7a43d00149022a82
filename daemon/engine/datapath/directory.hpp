// SPDX-License-Identifier: BSD-2-Clause
// What a data thread knows about who is where. Each data thread has its own copy and changes it itself, on a
// command of the control thread: so no lock, and a guest is gone from it before its memory is freed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include <librettos/portmap.h>

#include "daemon/engine/datapath/addresses.hpp"
#include "daemon/engine/datapath/slot_index.hpp"
#include "portmap/domain_id.hpp"

namespace librettos {

// A guest's number inside the server: index of its statistics slot. 0 means "the wire" / no guest.
using Slot = std::uint16_t;
inline constexpr Slot wire_slot = 0;
inline constexpr std::size_t max_slots = 1024;

enum class GuestMode : std::uint8_t { shared, dedicated };

struct GuestIdentity {
    DomId domain;
    GuestMode mode = GuestMode::shared;
    MacAddress mac;
    Ipv4Address ipv4;  // not set: none
    Ipv6Address ipv6;  // not set: none
};

enum class UnownedPort : std::uint8_t { answer, silent };  // answer: RST for TCP, ICMP unreachable for UDP

struct NetworkIdentity {
    MacAddress mac;    // of the shared address and of the server's answers
    Ipv4Address ipv4;  // the shared addresses
    Ipv6Address ipv6;
    Ipv4Address ipv4_broadcast;  // of the subnet
    std::uint16_t mtu_bytes = 1500;
    std::uint16_t vlan =
        0;  // 0: frames are untagged; else every frame on the wire carries this tag and none in the rings
    UnownedPort unowned_tcp = UnownedPort::answer;
    UnownedPort unowned_udp = UnownedPort::answer;
    std::uint32_t replies_per_s = 10'000;  // limit of the server's own ICMP and RST answers
};

class Directory {
  public:
    // Both outlive the directory.
    Directory(NetworkIdentity const& network, lvif_portmap const& portmap);

    void add(Slot slot, GuestIdentity const& guest);  // the slot is free, 1 .. max_slots - 1
    void remove(Slot slot);
    // The wire reaches this dedicated guest by a VF (until it is removed): what goes to everybody, and questions about
    // its address.
    void set_direct(Slot slot, bool direct) { direct_[slot] = direct; }
    void set_network(NetworkIdentity const& network);

    NetworkIdentity const& network() const { return network_; }
    bool present(Slot slot) const { return present_[slot]; }
    bool direct(Slot slot) const { return direct_[slot]; }
    GuestIdentity const& guest(Slot slot) const { return guests_[slot]; }
    std::vector<Slot> const& slots() const { return used_; }
    std::vector<Slot> const& dedicated_slots() const { return dedicated_; }

    // wire_slot when there is none
    Slot by_domain(DomId domain) const { return by_domain_[domain.value]; }
    Slot dedicated_by_mac(MacAddress const& mac) const;
    Slot dedicated_by_mac_key(std::uint64_t key) const { return by_mac_.find(key); }  // key: mac_key() of headers.hpp
    Slot dedicated_by_ipv4(Ipv4Address address) const;
    Slot dedicated_by_ipv6(Ipv6Address const& address) const;  // its link-local address (EUI-64) counts as well

    std::uint64_t network_mac_key() const { return mac_key_; }

    // The portmap: one relaxed load, and no branch: TCP and UDP come in any order, a processor would often guess wrong.
    std::uint32_t port_entry(bool udp, std::uint16_t port) const {
        return __atomic_load_n(&ports_[udp][port], __ATOMIC_RELAXED);
    }

    // What an entry says: the slot of the shared guest that owns the port, else wire_slot with `owned` false (nobody)
    // or true (the owner is not attached).
    struct PortOwner {
        Slot slot;
        bool owned;
    };
    PortOwner owner(std::uint32_t entry) const {
        if ((entry & LVIF_PORT_STATE_MASK) != LVIF_PORT_BOUND << LVIF_PORT_STATE_SHIFT) {
            return {wire_slot, false};
        }
        return {shared_by_domain_[entry & LVIF_PORT_OWNER_MASK], true};
    }

  private:
    void index_domain(DomId domain);
    void index_dedicated();

    NetworkIdentity network_;
    std::uint64_t mac_key_ = 0;
    std::array<std::uint32_t const*, 2> ports_;  // the portmap's tables, TCP and UDP
    std::vector<bool> present_;
    std::vector<bool> direct_;
    std::vector<GuestIdentity> guests_;
    std::vector<Slot> used_;
    std::vector<Slot> dedicated_;
    std::vector<Slot> by_domain_;         // 65,536 entries
    std::vector<Slot> shared_by_domain_;  // the same, shared guests alone
    SlotIndex by_mac_;                    // dedicated guests
    SlotIndex by_ipv4_;
    SlotIndex by_ipv6_;
};

}  // namespace librettos
