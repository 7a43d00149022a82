// SPDX-License-Identifier: BSD-2-Clause
// A guest and its VF: the switch between the two ways, over the guest's whole life.
#include "daemon/engine/control/guest.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

std::optional<std::string> Guest::read_switch() {
    return around_.hypervisor.read(backend_ + "/" + key_switch);
}

void Guest::read_way() {
    if (auto const way = around_.hypervisor.read(backend_ + "/" + key_way))
        automatic_ = *way == "auto";
}

void Guest::set_automatic(bool automatic) {
    around_.hypervisor.write(backend_ + "/" + key_way, way_text(automatic));
    automatic_ = automatic;
}

// Without its guest the switch ends at the rings.
void Guest::adopt_switch(std::string const& record, TimePoint now) {
    auto const mac = parse_mac(around_.hypervisor.read(backend_ + "/" LVIF_KEY_MAC).value_or(""));
    switch_.resume(record, mac.value_or(offer_.mac), now);
    if (phase_ != Phase::connected)
        switch_.guest_gone(now);
    after_switch(now);
}

void Guest::adopt_dead(TimePoint now) {
    touched_ = true;
    gone_ = true;
    if (auto const record = read_switch())
        adopt_switch(*record, now);
    if (switch_.at_rings())
        forget();
}

int Guest::switch_to_direct(std::uint16_t vf, std::chrono::milliseconds timeout, TimePoint now) {
    int const refused = switch_.to_direct(vf, timeout, now);
    after_switch(now);
    return refused;
}

int Guest::switch_to_server(std::string reason, std::chrono::milliseconds timeout, TimePoint now) {
    int const refused = switch_.to_server(std::move(reason), timeout, now);
    after_switch(now);
    return refused;
}

void Guest::vf_done(HolderMessage const& done, TimePoint now) {
    switch_.nic_done(done, now);
    after_switch(now);
}

void Guest::vf_changed(std::uint16_t vf, TimePoint now) {
    switch_.vf_changed(vf, now);
    after_switch(now);
}

void Guest::drained(std::uint64_t frames, TimePoint now) {
    switch_.drained(frames, now);
    after_switch(now);
}

// What waited for the VF to be taken back: the next offer, or the end.
void Guest::after_switch(TimePoint now) {
    if (phase_ == Phase::connected && rings_->control->broken())
        channel_wake_ = now;
    bool const came_back = switch_.at_rings() && !was_at_rings_;
    was_at_rings_ = switch_.at_rings();
    if (came_back && phase_ == Phase::detached)
        refresh(now, Why::own_time);
}

}  // namespace librettos::control
