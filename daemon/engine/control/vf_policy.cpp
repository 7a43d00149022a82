// SPDX-License-Identifier: BSD-2-Clause
// Measuring and deciding.
#include "daemon/engine/control/vf_policy.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace librettos::control {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr unsigned most_doublings = 16;

std::string whole_seconds(VfPolicy::Duration time) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

std::string megabits_text(double bits_per_s) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f Mb/s", bits_per_s < 100e6 ? 1 : 0, bits_per_s / 1e6);
    return text;
}

// The weight makes it the mean of what has been seen so far, however short that is.
void VfPolicy::measure(DomId guest, std::uint64_t bits, TimePoint now) {
    auto const [at, fresh] = known_.try_emplace(guest);
    auto& known = at->second;
    if (fresh)
        known.first = known.last = now;
    double const elapsed = Seconds(now - known.last).count();
    if (elapsed <= 0)
        return;
    known.last = now;
    double const share = 1 - std::exp(-elapsed / Seconds(rules_.window).count());
    known.mean += share * (static_cast<double>(bits) / elapsed - known.mean);
    known.weight += share * (1 - known.weight);
    if (known.direct && known.moved_at && now - *known.moved_at >= rules_.dwell)
        known.failures = 0;
}

void VfPolicy::moved(DomId guest, bool to_direct, bool wanted, TimePoint now) {
    auto const found = known_.find(guest);
    if (found == known_.end())
        return;
    auto& known = found->second;
    known.moved_at = now;
    known.direct = to_direct && wanted;
    if (wanted)
        return;
    auto const wait = rules_.back_off * (1U << std::min(known.failures, most_doublings));
    ++known.failures;
    known.not_before = now + std::min<Duration>(wait, rules_.longest_back_off);
}

double VfPolicy::bits_per_s(DomId guest) const {
    auto const found = known_.find(guest);
    return found == known_.end() || found->second.weight <= 0 ? 0 : found->second.mean / found->second.weight;
}

VfPolicy::Known const* VfPolicy::measured(Guest const& guest, TimePoint now) const {
    auto const found = known_.find(guest.domain);
    return found != known_.end() && now - found->second.first >= rules_.window ? &found->second : nullptr;
}

bool VfPolicy::may_move(Known const& known, TimePoint now) const {
    return !known.moved_at || now - *known.moved_at >= rules_.dwell;
}

bool VfPolicy::is_due(Guest const& guest, TimePoint now) const {
    auto const* const known = measured(guest, now);
    return guest.allowed && guest.place == Place::server && known != nullptr && may_move(*known, now) &&
           now >= known->not_before && bits_per_s(guest.domain) >= rules_.promote_bits_per_s;
}

// The first of equals.
VfPolicy::Guest const* VfPolicy::busiest_due(std::vector<Guest> const& guests, TimePoint now) const {
    Guest const* best = nullptr;
    for (auto const& guest : guests) {
        if (is_due(guest, now) && (best == nullptr || bits_per_s(guest.domain) > bits_per_s(best->domain)))
            best = &guest;
    }
    return best;
}

VfPolicy::Guest const* VfPolicy::least_busy_direct(std::vector<Guest> const& guests, TimePoint now) const {
    Guest const* least = nullptr;
    for (auto const& guest : guests) {
        auto const* const known = measured(guest, now);
        if (guest.allowed && guest.place == Place::direct && known != nullptr && may_move(*known, now) &&
            (least == nullptr || bits_per_s(guest.domain) < bits_per_s(least->domain)))
            least = &guest;
    }
    return least;
}

std::optional<VfPolicy::Move> VfPolicy::next(std::vector<Guest> const& guests, std::size_t free_vfs,
                                             TimePoint now) const {
    bool const moving = std::any_of(guests.begin(), guests.end(),
                                    [](Guest const& guest) { return guest.allowed && guest.place == Place::moving; });
    if (moving)
        return std::nullopt;
    auto const* const least = least_busy_direct(guests, now);
    double const least_load = least != nullptr ? bits_per_s(least->domain) : 0;
    if (least != nullptr && least_load < rules_.demote_bits_per_s)
        return Move{least->domain, false, megabits_text(least_load) + " need no VF"};
    auto const* const busiest = busiest_due(guests, now);
    if (busiest == nullptr)
        return std::nullopt;
    double const load = bits_per_s(busiest->domain);
    if (free_vfs > 0)
        return Move{busiest->domain, true, megabits_text(load) + ", and a VF is free"};
    if (least != nullptr && load >= rules_.takeover * least_load)
        return Move{least->domain, false,
                    busiest->name + " is busier: " + megabits_text(load) + " against " + megabits_text(least_load)};
    return std::nullopt;
}

std::string VfPolicy::explain(Guest const& guest, std::size_t free_vfs, TimePoint now) const {
    auto const load = megabits_text(bits_per_s(guest.domain));
    auto const* const known = measured(guest, now);
    if (known == nullptr)
        return "is being measured";
    if (guest.place == Place::moving)
        return "is on its way";
    if (now < known->not_before && guest.place == Place::server)
        return "did not get a VF, or lost it, " + std::to_string(known->failures) + " times: tried again in " +
               whole_seconds(known->not_before - now);
    if (!may_move(*known, now))
        return load + "; was moved, and stays for another " + whole_seconds(*known->moved_at + rules_.dwell - now);
    if (guest.place == Place::direct)
        return load + ": busy enough for its VF";
    if (!is_due(guest, now))
        return load + ": not busy enough for a VF, which takes " + megabits_text(rules_.promote_bits_per_s);
    return free_vfs > 0 ? load + ": is next" : load + ": no VF is free, and nobody is that much less busy";
}

}  // namespace librettos::control
