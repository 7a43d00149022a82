// SPDX-License-Identifier: BSD-2-Clause
// What the steps of a switch do.
#include "daemon/engine/control/guest_switch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace librettos::control {

namespace {

using Step = VfSwitch::Step;
using Nic = VfSwitch::Nic;

// Of switches: after all those of earlier servers, when there was less than one a second. Message ids have 28 bits.
std::uint32_t first_serial() {
    auto const now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count() & 0x7ffffff);
}

VfOperation operation_of(Nic operation) {
    switch (operation) {
        case Nic::give:
            return VfOperation::give;
        case Nic::steer_to_vf:
            return VfOperation::steer_to_vf;
        case Nic::steer_to_port:
            return VfOperation::steer_to_port;
        case Nic::take:
            break;
    }
    return VfOperation::take;
}

std::optional<Nic> nic_of(VfOperation operation) {
    switch (operation) {
        case VfOperation::give:
            return Nic::give;
        case VfOperation::steer_to_vf:
            return Nic::steer_to_vf;
        case VfOperation::steer_to_port:
            return Nic::steer_to_port;
        case VfOperation::take:
            return Nic::take;
        case VfOperation::none:
            break;
    }
    return std::nullopt;
}

}  // namespace

GuestSwitch::GuestSwitch(Surroundings& surroundings, DomId domain, std::string name, std::string record)
    : around_(surroundings),
      domain_(domain),
      name_(std::move(name)),
      record_(std::move(record)),
      switch_(*this, first_serial()) {
}

void GuestSwitch::connected(GuestRings& rings, Slot slot, MacAddress const& mac) {
    rings_ = &rings;
    slot_ = slot;
    mac_ = mac;
    direct_told_ = false;
    can_switch_.reset();
    switch_.guest_back();
}

void GuestSwitch::guest_gone(TimePoint now) {
    rings_ = nullptr;
    switch_.guest_gone(now);
    after(now);
}

void GuestSwitch::resume(std::string const& record, MacAddress const& mac, TimePoint now) {
    mac_ = mac;
    try {
        if (!switch_.resume(record, now))
            spdlog::warn("guest '{}': what an earlier server wrote about its VF cannot be understood", name_);
    } catch (std::system_error const& error) {
        spdlog::warn("guest '{}': {}", name_, error.what());
    }
    if (auto const vf = switch_.vf())
        around_.vfs.claim(*vf, domain_);
    after(now);
}

int GuestSwitch::to_direct(std::uint16_t vf, std::chrono::milliseconds timeout, TimePoint now) {
    if (switch_.idle() && at_rings())
        around_.vfs.claim(vf, domain_);
    frames_drained_ = 0;
    int const refused = switch_.to_direct(vf, timeout, now);
    after(now);
    return refused;
}

int GuestSwitch::to_server(std::string reason, std::chrono::milliseconds timeout, TimePoint now) {
    int const refused = switch_.to_rings(std::move(reason), timeout, now);
    after(now);
    return refused;
}

// Where there are no VFs any more, or fewer than before, nothing has to be taken back.
void GuestSwitch::nic_done(HolderMessage const& done, TimePoint now) {
    auto const operation = nic_of(done.operation);
    if (!operation || done.id != awaited_)
        return;
    bool const back = *operation == Nic::steer_to_port || *operation == Nic::take;
    bool const no_such = around_.vfs.find(done.vf) == nullptr;
    switch_.nic_done(*operation, back && no_such ? 0 : done.status, now);
    after(now);
}

// Before it is prepared its link has not been seen up.
void GuestSwitch::vf_changed(std::uint16_t vf, TimePoint now) {
    auto const* const state = around_.vfs.find(vf);
    if (switch_.vf() != vf || state == nullptr || !switch_.receives_by_vf())
        return;
    switch_.vf_lost(state->name + (state->present ? ": its link is down" : " is gone"), now);
    after(now);
}

void GuestSwitch::drained(std::uint64_t frames, TimePoint now) {
    frames_drained_ = frames;
    switch_.drained(now);
    after(now);
}

void GuestSwitch::greeted(std::uint32_t flags, TimePoint now) {
    can_switch_ = (flags & LVIF_HELLO_CAN_SWITCH) != 0;
    switch_.greeted((flags & LVIF_HELLO_DIRECT) != 0, now);
    after(now);
}

void GuestSwitch::guest_answered(lvif_message const& reply, TimePoint now) {
    switch_.guest_answered(reply, now);
    after(now);
}

void GuestSwitch::guest_lost_vf(TimePoint now) {
    switch_.vf_lost("the guest lost its VF", now);
    after(now);
}

void GuestSwitch::tick(TimePoint now) {
    switch_.tick(now);
    after(now);
}

void GuestSwitch::write_down(std::optional<std::string> const& record) {
    if (record)
        around_.hypervisor.write(record_, *record);
    else
        around_.hypervisor.remove(record_);
}

void GuestSwitch::operate_nic(Nic operation, std::uint16_t vf) {
    tell_data_plane();
    awaited_ = around_.holder.operate_vf(domain_, operation_of(operation), vf, mac_, around_.config.network.vlan);
    bool const to_vf = operation == Nic::steer_to_vf;
    if (rings_ != nullptr && (to_vf || operation == Nic::steer_to_port))
        around_.data_plane.watch_steering(slot_, vf, awaited_, to_vf ? switch_.serial() : 0);
}

bool GuestSwitch::tell_guest(lvif_message const& message) {
    tell_data_plane();
    if (rings_ == nullptr)
        return false;
    auto complete = message;
    std::copy(mac_.bytes.begin(), mac_.bytes.end(), complete.u.vf.mac);
    if (!rings_->control->put(complete))
        return false;
    if (rings_->control->publish())
        rings_->control_event->notify();
    return true;
}

void GuestSwitch::drain() {
    tell_data_plane();
    if (rings_ != nullptr)
        around_.data_plane.drain(slot_, switch_.serial());
}

// Before a step acts: broadcasts rather twice than not at all while both ways are open.
void GuestSwitch::tell_data_plane() {
    bool const direct = switch_.receives_by_vf();
    if (rings_ == nullptr || direct == direct_told_)
        return;
    direct_told_ = direct;
    around_.data_plane.set_direct(slot_, direct);
}

void GuestSwitch::after(TimePoint now) {
    tell_data_plane();
    if (!switch_.idle())
        return;
    log_outcome(now);
    if (at_rings()) {
        around_.vfs.release(domain_);
        return;
    }
    auto const* const vf = around_.vfs.find(switch_.vf().value());
    if (vf != nullptr && (!vf->present || !vf->link_up))
        vf_changed(switch_.vf().value(), now);
}

void GuestSwitch::log_outcome(TimePoint now) {
    auto const& report = switch_.report();
    if (report.serial == logged_)
        return;
    logged_ = report.serial;
    if (!around_.log.allow(now))
        return;
    spdlog::info("guest '{}' (domain {}) {} after {} us{}{}", name_, domain_.value,
                 at_rings() ? "uses the server" : "uses its VF", report.took.count(), report.reason.empty() ? "" : ": ",
                 report.reason);
}

}  // namespace librettos::control
