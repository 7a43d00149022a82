// SPDX-License-Identifier: BSD-2-Clause
// A VF that is a network interface, for the switch of a guest whose stack is the kernel's (process/switch_order.hpp).
//
// What comes waits in the VF's socket, what is sent in the TAP. Why the frames go through this process, and not from
// interface to interface in the kernel (tc's mirred, or a BPF redirect): filters change between two frames of the
// kernel's choice, while older frames are still in the TAP's queue, and what could hold those that overtake them
// (sch_plug) is missing from many kernels, on the way in everywhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "guest-frontend/linux/frame_pump.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "guest-frontend/linux/vf_interface.hpp"
#include "guest-frontend/linux/vf_lane.hpp"
#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

// Control thread. The pump's threads may be at work throughout.
class VfPath final : private SwitchedVf, private SwitchedFrames {
  public:
    using Clock = SwitchOrder::Clock;

    VfPath(VfInterface& vf, lvif_device* device, FramePump& pump, TapDevice const& tap);
    VfPath(VfPath const&) = delete;
    VfPath& operator=(VfPath const&) = delete;

    // As of lvif_vf_operations.
    int open(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) {
        return order_.open(mac, vlan, mtu_bytes);
    }
    int begin() { return order_.begin(); }
    void end() { order_.end(); }
    void close() { order_.close(); }

    bool is_open() const { return lane_ != nullptr; }
    void set_mtu(std::uint16_t mtu_bytes);
    // To be called often. True: the VF or its link has gone; lvif_vf_lost() is due.
    bool look_after();
    // What may end the caller's sleep; -1: nothing. Time: when look_after() is due; max(): never.
    int change_fd() const { return vf_.change_fd(); }
    int held_frames_fd() const { return order_.may_hold_frames() ? lane_->fd() : -1; }
    void held_frames_came() { order_.held_frames_came(); }
    Clock::time_point wake_at() const { return order_.wake_at(); }

  private:
    int up(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes) override;
    bool gone() override;
    void down() override;
    std::string name() const override { return vf_.name(); }

    void use_vf() override { pump_.use_vf(lane_.get()); }
    void let_in() override { lane_->let_in(); }
    void let_in_after_rings() override { pump_.let_in_after_rings(); }
    bool lets_in() override { return lane_->lets_in(); }
    void take_last(std::chrono::milliseconds quiet, std::chrono::milliseconds longest) override;
    void leave_vf() override;
    void send_by(SendBy way) override { pump_.send_by(way); }
    bool vf_sent_all() override { return lane_->sent_all(); }
    std::size_t take_back() override { return 0; }  // they are the kernel's
    bool vf_works() override { return !lane_->failed(); }
    bool server_took_all() override;
    bool server_alive() override { return lvif_server_alive(device_); }

    bool find(VfMac const& mac, std::uint16_t mtu_bytes);
    void report();

    VfInterface& vf_;
    lvif_device* const device_;
    FramePump& pump_;
    TapDevice const& tap_;
    std::unique_ptr<VfLane> lane_;  // from up() to down()
    bool has_had_link_ = false;
    bool link_may_have_changed_ = false;
    std::optional<Clock::time_point> looked_for_since_;
    Clock::time_point look_again_{};
    SwitchOrder order_;  // last: ends the switch while all else is there
};

}  // namespace librettos::guest
