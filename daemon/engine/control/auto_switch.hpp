// SPDX-License-Identifier: BSD-2-Clause
// Guests whose way is chosen by their load: measures guests by what went through their rings and their VFs, and says by
// VfPolicy who is to be moved. Who moves them is Guests.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/engine/control/guest.hpp"
#include "daemon/engine/control/vf_policy.hpp"

namespace librettos::control {

class AutoSwitch {
  public:
    using GuestMap = std::map<DomId, std::unique_ptr<Guest>>;

    struct Decision {
        std::string guest;
        bool to_direct = false;
        std::string reason;
        TimePoint at{};
    };

    // `surroundings` outlives it.
    explicit AutoSwitch(Surroundings& surroundings);

    // At wake_at(): measures, and says who is to be moved now. ordered() follows.
    std::optional<VfPolicy::Move> look(GuestMap const& guests, TimePoint now);
    // What became of it: `refused` is not 0 when the switch was not begun.
    void ordered(VfPolicy::Move const& move, Guest const& guest, int refused, TimePoint now);
    TimePoint wake_at() const { return wake_at_; }  // max(), where there are no VFs

    // For the operator.
    std::optional<Decision> const& last() const { return last_; }
    double bits_per_s(Guest const& guest) const { return policy_.bits_per_s(guest.domain()); }
    std::string explain(Guest const& guest, TimePoint now) const;

  private:
    struct Seen {
        std::optional<Slot> slot;
        std::uint64_t ring_bits = 0;
        std::uint32_t serial = 0;   // of the last switch that has ended
        std::uint32_t ordered = 0;  // of the last one that was ours
    };

    struct SeenVf {
        std::uint64_t bits = 0;
        std::uint64_t grown = 0;  // since the look before
    };

    static bool counts(Guest const& guest);
    VfPolicy::Guest seen_by_policy(Guest const& guest) const;
    bool vfs_are_counted() const;
    std::uint64_t bits_since(Seen& seen, Guest const& guest) const;
    void look_at_vfs();
    void look_at(Guest const& guest, TimePoint now);
    void forget_the_others(GuestMap const& guests);

    Surroundings& around_;
    VfPolicy policy_;
    Clock::duration every_;
    TimePoint wake_at_;
    std::map<DomId, Seen> seen_;
    std::vector<std::optional<SeenVf>> seen_vfs_;
    std::optional<Decision> last_;
};

}  // namespace librettos::control
