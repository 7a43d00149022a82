// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/engine/control/auto_switch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace librettos::control {

namespace {

constexpr Clock::duration longest_between_looks = std::chrono::seconds(1);
constexpr int looks_per_window = 4;

VfPolicy::Rules rules_of(Config::Direct::Auto const& config) {
    using std::chrono::seconds;
    return {.promote_bits_per_s = config.promote_mbps * 1e6,
            .demote_bits_per_s = config.demote_mbps * 1e6,
            .takeover = config.takeover_percent / 100.0,
            .window = seconds(config.window_s),
            .dwell = seconds(config.dwell_s),
            .back_off = seconds(config.back_off_s)};
}

// Growth of a counter that may have begun anew.
std::uint64_t growth(std::uint64_t& last, std::uint64_t now, bool same_counter) {
    auto const grown = same_counter && now >= last ? now - last : 0;
    last = now;
    return grown;
}

}  // namespace

AutoSwitch::AutoSwitch(Surroundings& surroundings)
    : around_(surroundings),
      policy_(rules_of(surroundings.config.direct.automatic)),
      every_(std::min<Clock::duration>(
          longest_between_looks,
          std::chrono::milliseconds(1000 * surroundings.config.direct.automatic.window_s / looks_per_window))),
      wake_at_(surroundings.vfs.all().empty() ? TimePoint::max() : TimePoint{}) {
}

bool AutoSwitch::counts(Guest const& guest) {
    return guest.phase() == Guest::Phase::connected && guest.offer().mode == GuestMode::dedicated;
}

// Who is on a VF that is not would seem to be idle.
bool AutoSwitch::vfs_are_counted() const {
    auto const& all = around_.vfs.all();
    return std::all_of(all.begin(), all.end(), [](Vf const& vf) { return !vf.present || vf.traffic; });
}

VfPolicy::Guest AutoSwitch::seen_by_policy(Guest const& guest) const {
    auto const& vf_switch = guest.vf_switch();
    auto const place = !vf_switch.idle()      ? VfPolicy::Place::moving
                       : vf_switch.at_rings() ? VfPolicy::Place::server
                                              : VfPolicy::Place::direct;
    bool const allowed = guest.automatic() && vf_switch.can_switch().value_or(false) && vfs_are_counted();
    return {guest.domain(), guest.name(), place, allowed};
}

std::uint64_t AutoSwitch::bits_since(Seen& seen, Guest const& guest) const {
    auto const rings = around_.data_plane.traffic(guest.slot().value());
    auto const ring_bits = bits_on_the_wire(rings.to_frames + rings.from_frames, rings.to_bytes + rings.from_bytes);
    auto bits = growth(seen.ring_bits, ring_bits, seen.slot == guest.slot());
    seen.slot = guest.slot();
    auto const vf = guest.vf_switch().vf();
    if (vf && *vf < seen_vfs_.size() && seen_vfs_[*vf])
        bits += seen_vfs_[*vf]->grown;
    return bits;
}

// Of VFs that changed hands since the look before, all of it is their new guests'.
void AutoSwitch::look_at_vfs() {
    auto const& all = around_.vfs.all();
    seen_vfs_.resize(all.size());
    for (std::size_t vf = 0; vf < all.size(); ++vf) {
        if (!all[vf].traffic) {
            seen_vfs_[vf].reset();
            continue;
        }
        auto const& through = *all[vf].traffic;
        auto const bits = bits_on_the_wire(through.received_frames + through.sent_frames,
                                           through.received_bytes + through.sent_bytes);
        bool const known = seen_vfs_[vf].has_value();
        auto& seen = known ? *seen_vfs_[vf] : seen_vfs_[vf].emplace();
        seen.grown = growth(seen.bits, bits, known);
    }
}

void AutoSwitch::look_at(Guest const& guest, TimePoint now) {
    auto const [at, fresh] = seen_.try_emplace(guest.domain());
    auto& seen = at->second;
    policy_.measure(guest.domain(), bits_since(seen, guest), now);
    auto const& report = guest.vf_switch().report();
    if (!fresh && report.serial != seen.serial) {
        bool const as_wanted = report.to_direct || report.serial == seen.ordered || !guest.automatic();
        policy_.moved(guest.domain(), report.to_direct, report.reached && as_wanted, now);
    }
    seen.serial = report.serial;
}

void AutoSwitch::forget_the_others(GuestMap const& guests) {
    for (auto seen = seen_.begin(); seen != seen_.end();) {
        auto const guest = guests.find(seen->first);
        bool const stays = guest != guests.end() && counts(*guest->second);
        if (!stays)
            policy_.forget(seen->first);
        seen = stays ? std::next(seen) : seen_.erase(seen);
    }
}

std::optional<VfPolicy::Move> AutoSwitch::look(GuestMap const& guests, TimePoint now) {
    wake_at_ = now + every_;
    forget_the_others(guests);
    look_at_vfs();
    std::vector<VfPolicy::Guest> candidates;
    for (auto const& [domain, guest] : guests) {
        if (!counts(*guest))
            continue;
        look_at(*guest, now);
        candidates.push_back(seen_by_policy(*guest));
    }
    return policy_.next(candidates, around_.vfs.free(), now);
}

void AutoSwitch::ordered(VfPolicy::Move const& move, Guest const& guest, int refused, TimePoint now) {
    last_ = {guest.name(), move.to_direct, move.reason, now};
    spdlog::info("guest '{}' (domain {}) is to use {}: {}", guest.name(), guest.domain().value,
                 move.to_direct ? "a VF" : "the server", move.reason);
    if (refused != 0)
        policy_.moved(move.guest, move.to_direct, false, now);
    else
        seen_[move.guest].ordered = guest.vf_switch().serial();
}

std::string AutoSwitch::explain(Guest const& guest, TimePoint now) const {
    if (!vfs_are_counted())
        return "is not moved: what goes through the VFs is not counted; with direct.steering = \"kernel\" that takes a "
               "driver that does, and begins when a VF has carried a frame: switch a guest by hand once";
    if (!guest.vf_switch().can_switch().value_or(false))
        return "says that it cannot use a VF, or has not said anything yet";
    return policy_.explain(seen_by_policy(guest), around_.vfs.free(), now);
}

}  // namespace librettos::control
