// SPDX-License-Identifier: BSD-2-Clause
// A guest's switch between the rings and a VF: VfSwitch with what its steps do to the store, the holder, the guest and
// the data plane.
//
// Of what a guest sends only its replies, its HELLO and VF_LOST get here, within its budget of control messages; none
// begins a switch there, and what they lead to concerns the guest's own VF alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/engine/control/guest_rings.hpp"
#include "daemon/engine/control/surroundings.hpp"
#include "daemon/engine/control/vf_switch.hpp"

namespace librettos::control {

class GuestSwitch final : private VfSwitch::Effects {
  public:
    // `record` is a path in the store. `name` is for the log.
    GuestSwitch(Surroundings& surroundings, DomId domain, std::string name, std::string record);

    // Of the connection. `rings` are used until guest_gone().
    void connected(GuestRings& rings, Slot slot, MacAddress const& mac);
    void guest_gone(TimePoint now);
    // What an earlier server wrote down; after connected(), or before guest_gone(). `mac` is the guest's.
    void resume(std::string const& record, MacAddress const& mac, TimePoint now);

    // 0 or as VfSwitch says. The VF is nobody's.
    int to_direct(std::uint16_t vf, std::chrono::milliseconds timeout, TimePoint now);
    int to_server(std::string reason, std::chrono::milliseconds timeout, TimePoint now);

    void nic_done(HolderMessage const& done, TimePoint now);
    void vf_changed(std::uint16_t vf, TimePoint now);  // it, or its link, went away
    void drained(std::uint64_t frames, TimePoint now);
    void greeted(std::uint32_t flags, TimePoint now);  // LVIF_HELLO_*
    void guest_answered(lvif_message const& reply, TimePoint now);
    void guest_lost_vf(TimePoint now);
    void tick(TimePoint now);
    TimePoint wake_at() const { return switch_.wake_at(); }

    bool at_rings() const { return switch_.step() == VfSwitch::Step::rings; }
    bool idle() const { return switch_.idle(); }
    VfSwitch::Step step() const { return switch_.step(); }
    std::optional<std::uint16_t> vf() const { return switch_.vf(); }
    std::uint32_t serial() const { return switch_.serial(); }
    // Not set: it has not said.
    std::optional<bool> can_switch() const { return can_switch_; }
    VfSwitch::Report const& report() const { return switch_.report(); }
    std::uint64_t frames_drained() const { return frames_drained_; }  // by the last switch there

  private:
    void write_down(std::optional<std::string> const& record) override;
    void operate_nic(VfSwitch::Nic operation, std::uint16_t vf) override;
    bool tell_guest(lvif_message const& message) override;
    void drain() override;

    void tell_data_plane();
    void after(TimePoint now);
    void log_outcome(TimePoint now);

    Surroundings& around_;
    DomId domain_;
    std::string name_;
    std::string record_;
    MacAddress mac_;
    GuestRings* rings_ = nullptr;
    Slot slot_ = wire_slot;
    bool direct_told_ = false;   // to the data plane
    std::uint32_t awaited_ = 0;  // of the holder
    std::optional<bool> can_switch_;
    std::uint64_t frames_drained_ = 0;
    std::uint32_t logged_ = 0;
    VfSwitch switch_;
};

}  // namespace librettos::control
