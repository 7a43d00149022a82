// SPDX-License-Identifier: BSD-2-Clause
// The portmap's authority: decides who owns which port and writes the table (librettos/portmap.h says the semantics).
//
// Theory of operation. Pure state, no I/O: the caller passes the table's memory, the time and a source of random
// numbers, so that every authority in user space (hypervisord, the server on an unpatched Xen) can use it. Not
// thread-safe.
//
// The table itself holds each port's state. Beside it, per port: when it got there, and a link into the list of its
// owner's ports, so that a domain's end costs what it owned and not 131,072 looks. The ephemeral range is kept in two
// halves: single ports are drawn, each as likely as any other, from the upper half, blocks are taken from the lower
// one, and each goes to the other half only when its own is full. Scattered single ports would otherwise soon leave no
// block free. A draw costs O(1); a lease looks at no more than the range.
//
// A destroyed domain lives on as an owner of quarantined ports until they are claimed or their time is over. Whoever
// makes and destroys guests of ever new names could fill the port space, and use up the domain ids, with that; so each
// account (hypervisord: the user that runs the guests) has a budget of quarantined ports and domains. When it is
// exceeded, that account's oldest quarantines end early, nobody else's.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <librettos/portmap.h>

#include "portmap/domain_id.hpp"

namespace librettos {

class PortmapAuthority {
  public:
    using Time = std::chrono::milliseconds;         // of any clock that never goes back
    using Random = std::function<std::uint32_t()>;  // uniform and unpredictable

    struct Settings {
        std::uint16_t ephemeral_first = 32768;
        std::uint16_t ephemeral_last = 60999;  // inclusive
        std::uint32_t ports_per_domain = 4096;
        Time quarantine = std::chrono::seconds{60};
        // Per account; more end the account's oldest quarantines.
        std::uint32_t quarantined_ports = 16384;
        std::uint32_t quarantined_domains = 1024;
    };

    struct Answer {
        std::uint32_t entry = 0;
        std::uint32_t age_s = 0;
        std::uint32_t quarantine_left_s = 0;
        std::uint32_t owner_ports = 0;
        std::uint32_t owner_limit = 0;
        std::string owner_name;
    };

    struct Totals {
        std::uint32_t bound = 0;
        std::uint32_t quarantined = 0;
    };

    // Initialises `table`, which must outlive the object and which nobody else may write.
    PortmapAuthority(lvif_portmap& table, Settings const& settings, Random random);
    PortmapAuthority(PortmapAuthority const&) = delete;
    PortmapAuthority& operator=(PortmapAuthority const&) = delete;

    // `account`: who answers for it, and shares a budget of quarantined ports with the account's other domains.
    void add_domain(DomId domain, std::string_view name, std::uint32_t account = 0);
    // Its ports become quarantined.
    void remove_domain(DomId domain, Time now);
    // Also of a removed domain as long as ports of its are quarantined: its id must not be given out again.
    bool knows(DomId domain) const { return owners_.contains(domain.value); }

    // 0 or a negative errno. On success *port, *first is the port claimed. Unknown domains get -ENOENT.
    int bind(DomId domain, std::uint8_t protocol, std::uint16_t port, Time now, std::uint16_t* bound);
    int lease(DomId domain, std::uint8_t protocol, std::uint32_t count, Time now, std::uint16_t* first);
    int release(DomId domain, std::uint8_t protocol, std::uint32_t first, std::uint32_t count, Time now);
    int set_limit(DomId domain, std::uint32_t ports);
    // -EADDRINUSE when one of them is bound; a quarantine gives way to the host. Taking back leaves other ports alone.
    int reserve(std::uint8_t protocol, std::uint32_t first, std::uint32_t count, bool reserve, Time now);
    int query(std::uint8_t protocol, std::uint16_t port, Time now, Answer& answer) const;

    // A port that `domain` had before the table was lost, whatever its limit. False: it is not free.
    bool restore(DomId domain, std::uint8_t protocol, std::uint16_t port, bool leased, Time now);

    // For who keeps a copy of the table: blocks of it, those of UDP after those of TCP, that have changed since the
    // last call.
    static constexpr std::uint32_t block_ports = 256;
    using Blocks = std::bitset<2 * LVIF_PORTS / block_ports>;
    Blocks take_changed() { return std::exchange(changed_, {}); }

    // Frees what has been quarantined long enough.
    void expire(Time now);
    // When expire() has something to do next; empty: nothing is quarantined.
    std::optional<Time> next_expiry() const;
    Totals totals() const { return totals_; }

  private:
    using Index = std::uint32_t;  // port, plus LVIF_PORTS for UDP
    static constexpr Index none = ~Index{0};
    static constexpr Index indices = 2 * LVIF_PORTS;
    using Turn = std::uint64_t;  // quarantines by the time when they began, and so end

    struct Owner {
        std::string name;
        Index first = none;  // list of its ports
        std::uint32_t ports = 0;
        std::uint32_t limit = 0;
        std::uint32_t account = 0;
        bool alive = true;
        Turn quarantine = 0;
        Time quarantine_end{};
    };

    // What of an account is quarantined; there is none without.
    struct Account {
        std::uint32_t ports = 0;
        std::set<Turn> quarantines;
    };

    // What is free of one half of the ephemeral range, of one protocol: a dense array to draw from.
    struct Free {
        std::vector<Index> ports;
    };

    std::uint32_t word(Index index) const;
    void set_word(Index index, std::uint32_t word, Time now);
    lvif_port_state state(Index index) const;
    bool is_ephemeral(Index index) const;
    Free& free_of(Index index);
    void add_free(Index index);
    void take_free(Index index);
    void link(Owner& owner, Index index);
    void unlink(Owner& owner, Index index);
    bool may_claim(Owner const& owner, Index index) const;
    void claim(DomId domain, Owner& owner, Index index, std::uint32_t flags, Time now);
    void free(Index index, Time now);
    void take_from_owner(Index index);
    std::uint32_t below(std::uint32_t bound);
    std::optional<Index> draw(Index base);
    bool block_free(std::uint8_t protocol, std::uint32_t first, std::uint32_t count, std::uint32_t* taken) const;
    std::optional<std::uint32_t> find_block(std::uint8_t protocol, std::uint32_t count);
    Owner* living(DomId domain);
    void end_quarantine(Turn turn, Time now);

    lvif_portmap& table_;
    Settings settings_;
    std::uint32_t middle_;  // first port of the upper half
    Random random_;
    std::unordered_map<std::uint16_t, Owner> owners_;
    std::unordered_map<std::uint32_t, Account> accounts_;
    std::map<Turn, std::uint16_t> quarantines_;  // their domains
    Turn last_quarantine_ = 0;
    std::vector<std::uint32_t> since_s_;
    std::vector<Index> next_;
    std::vector<Index> previous_;
    std::vector<std::uint32_t> position_;      // in its Free::ports
    std::array<std::array<Free, 2>, 2> free_;  // [protocol][half]
    Totals totals_;
    Blocks changed_;
};

}  // namespace librettos
