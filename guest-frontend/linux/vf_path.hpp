// SPDX-License-Identifier: BSD-2-Clause
// The guest's part in a switch: what liblvif wants done with a VF (librettos/vf_switch.h), without a frame lost,
// doubled or out of order.
//
// Theory of operation
//
//     open()   the VF becomes ours and receives; what comes waits in its socket
//     begin()  the pump leaves frames in the TAP until the server has taken all from the rings, and has the TAP given
//              all that the rings hold; then it goes on by the VF, both ways
//     end()    the pump leaves frames in the TAP until what it sent has left the VF; then it goes on by the rings. From
//              now on what the VF has comes before what the rings have
//     close()  what the VF still has is delivered, and it is given back
//
// Nothing waits for long for another: after 200 ms, or when the server dies, order is given up, not frames.
//
// Why the frames go through this process, and not from interface to interface in the kernel (tc's mirred, or a BPF
// redirect): filters change between two frames of the kernel's choice, while older frames are still in the TAP's queue,
// and what could hold those that overtake them (sch_plug) is missing from many kernels, on the way in everywhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "guest-frontend/linux/frame_pump.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "guest-frontend/linux/vf_interface.hpp"
#include "guest-frontend/linux/vf_lane.hpp"

namespace librettos::guest {

// Control thread. The pump's threads may be at work throughout.
class VfPath {
  public:
    using Clock = std::chrono::steady_clock;

    VfPath(VfInterface& vf, lvif_device* device, FramePump& pump, TapDevice const& tap);
    ~VfPath();
    VfPath(VfPath const&) = delete;
    VfPath& operator=(VfPath const&) = delete;

    // As of lvif_vf_operations.
    int open(VfMac const& mac, std::uint16_t vlan, std::uint16_t mtu_bytes);
    int begin();
    void end();
    void close();

    bool is_open() const { return lane_ != nullptr; }
    void set_mtu(std::uint16_t mtu_bytes);
    // To be called often. True: the VF or its link has gone; lvif_vf_lost() is due.
    bool look_after();
    // What may end the caller's sleep; -1: nothing. Time: when look_after() is due; max(): never.
    int change_fd() const { return vf_.change_fd(); }
    int held_frames_fd() const;
    void held_frames_came();
    Clock::time_point wake_at() const;

  private:
    enum class Sending { rings, changing, vf };

    bool find(VfMac const& mac, std::uint16_t mtu_bytes);
    bool rings_are_idle() const;
    void take_last_frames();
    void report();

    VfInterface& vf_;
    lvif_device* const device_;
    FramePump& pump_;
    TapDevice const& tap_;
    std::unique_ptr<VfLane> lane_;  // ours from open() to close()
    bool up_ = false;
    bool has_had_link_ = false;
    bool lost_ = false;
    Sending sending_ = Sending::rings;
    std::optional<Clock::time_point> looked_for_since_;
    Clock::time_point look_again_{};
    std::optional<Clock::time_point> let_in_at_;  // at the latest, since frames came
    Clock::time_point change_began_{};            // of the way that frames are sent
};

}  // namespace librettos::guest
