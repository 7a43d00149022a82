// SPDX-License-Identifier: BSD-2-Clause
// Which guests have the VFs, by their load: for guests whose way the operator leaves to the server.
//
// Theory of operation. A guest's load is what it sends and receives, in bits on the wire (preamble, gap and check
// sequence included, so that small frames weigh what they cost), as an exponentially weighted mean over `window`. Every
// guest is measured for a whole window before anything is decided about it. Then, one move at a time:
//
//   promotion   a guest at the server that is as busy as `promote` gets a free VF, the busiest first
//   demotion    a guest on a VF that is less busy than `demote` gives it back, whether it is wanted or not: it is there
//               for the next, and for the operator
//   takeover    when no VF is free, the busiest guest that is due for promotion takes that of the least busy one, if it
//               is `takeover` times as busy. It gives it back first; that it is then the next one's is promotion
//
// What keeps guests where they are: `promote` is above `demote`; a guest that was moved stays for `dwell`; the means
// are slow; one that did not get to its VF, or lost it, is not tried again for `back_off`, doubled each time up to
// `longest_back_off`, until it has had a VF for `dwell`.
//
// Guests that are not `allowed` are none of its business: they are on the way that the operator chose, and so are their
// VFs. Pure: no clock, no input or output. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "portmap/domain_id.hpp"

namespace librettos::control {

class VfPolicy {
  public:
    using Duration = std::chrono::steady_clock::duration;
    using TimePoint = std::chrono::steady_clock::time_point;

    struct Rules {
        double promote_bits_per_s = 100e6;
        double demote_bits_per_s = 20e6;
        double takeover = 2;
        Duration window = std::chrono::seconds(10);
        Duration dwell = std::chrono::seconds(60);
        Duration back_off = std::chrono::seconds(60);
        Duration longest_back_off = std::chrono::hours(1);
    };

    enum class Place : std::uint8_t { server, direct, moving };

    struct Guest {
        DomId domain;
        std::string name;  // for reasons
        Place place = Place::server;
        bool allowed = false;
    };

    struct Move {
        DomId guest;
        bool to_direct;
        std::string reason;
    };

    explicit VfPolicy(Rules const& rules) : rules_(rules) {}

    // What the guest has sent and received since the last call for it; the first one only begins.
    void measure(DomId guest, std::uint64_t bits, TimePoint now);
    // A move has ended, ours or not: `wanted` is false when it did not get to its VF, or lost it.
    void moved(DomId guest, bool to_direct, bool wanted, TimePoint now);
    void forget(DomId guest) { known_.erase(guest); }

    // Nothing, while one is on its way.
    std::optional<Move> next(std::vector<Guest> const& guests, std::size_t free_vfs, TimePoint now) const;

    double bits_per_s(DomId guest) const;
    // Why it stays where it is.
    std::string explain(Guest const& guest, std::size_t free_vfs, TimePoint now) const;

  private:
    struct Known {
        TimePoint first{}, last{};  // measurements
        double mean = 0, weight = 0;
        std::optional<TimePoint> moved_at;
        bool direct = false;  // since then
        unsigned failures = 0;
        TimePoint not_before{};
    };

    Known const* measured(Guest const& guest, TimePoint now) const;
    bool may_move(Known const& known, TimePoint now) const;
    bool is_due(Guest const& guest, TimePoint now) const;  // for promotion
    Guest const* busiest_due(std::vector<Guest> const& guests, TimePoint now) const;
    Guest const* least_busy_direct(std::vector<Guest> const& guests, TimePoint now) const;

    Rules rules_;
    std::map<DomId, Known> known_;
};

// 24 more bytes for each frame: preamble, check sequence and gap.
constexpr std::uint64_t bits_on_the_wire(std::uint64_t frames, std::uint64_t bytes) {
    return 8 * (bytes + 24 * frames);
}

std::string megabits_text(double bits_per_s);  // "12.3 Mb/s"

}  // namespace librettos::control
