// SPDX-License-Identifier: BSD-2-Clause
// A guest in one process: the domain, its network device, its ports, for a TCP/IP stack that lives there too.
//
// A control thread follows the device's state machine. A server that is away or crashed is waited for, for ever; the
// stack sees nothing of a crash but a ring that stays full, and nothing of a switch to a VF and back. Without the
// hypervisor there is nothing to come back to: the link goes down and stays down, and claims fail.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "guest-frontend/linux/control_ring_ports.hpp"
#include "guest-frontend/linux/guest_options.hpp"
#include "guest-frontend/linux/host.hpp"
#include "guest-frontend/process/frame_link.hpp"
#include "guest-frontend/process/stack_ports.hpp"
#include "guest-frontend/process/switch_order.hpp"
#include "guest-frontend/process/vf.hpp"

namespace librettos::guest {

class StackDevice {
  public:
    // Connects to the hypervisor and begins. Of the options: hypervisor, name, dedicated, ring_bytes,
    // hypervisor_socket. `stack` may be called from here on. vf: for a guest with an address of its own that can be
    // switched; outlives this. Throws std::system_error, std::runtime_error.
    StackDevice(GuestOptions const& options, char const* program, Stack& stack, Vf* vf = nullptr);
    // Gives the ports back where the domain lives on, leaves the server in order. Not from a thread of the device's.
    ~StackDevice();
    StackDevice(StackDevice const&) = delete;
    StackDevice& operator=(StackDevice const&) = delete;

    static constexpr auto for_ever = std::chrono::milliseconds::max();
    // Until Stack::connected() has returned for the first time and ports can be claimed; nothing: not within that time.
    // Throws std::runtime_error when the server's offer cannot be what was asked for, or the hypervisor is gone.
    std::optional<Offer> wait_until_connected(std::chrono::milliseconds longest);

    FrameLink& frames() { return *frames_; }
    StackPorts& ports() { return ports_; }
    // After wait_until_connected() has returned.
    DeviceStatistics statistics() const;
    // False: the server crashed, or there is none, and no VF is in its place; frames that are sent wait in the ring as
    // far as they fit.
    bool frames_leave() const { return server_alive_.load(std::memory_order_relaxed) || frames_->sends_by_vf(); }

  private:
    struct FreeDevice {
        void operator()(lvif_device* device) const;
    };

    void run();
    bool wait_for_device();
    bool open();
    void follow_device();
    void follow_vf();
    void establish();
    void follow_link(bool up, std::uint16_t mtu_bytes);
    void start_ports();
    void wait_for_something();
    int wait_milliseconds() const;
    void hypervisor_is_gone();
    void refuse(std::string const& why);

    GuestOptions const options_;
    std::string const program_;
    Stack& stack_;
    std::unique_ptr<Host> host_;
    lvif_environment environment_;
    std::unique_ptr<lvif_device, FreeDevice> device_;
    Descriptor attention_;
    std::optional<FrameLink> frames_;
    std::optional<SwitchOrder> order_;  // the control thread's; where there is a VF
    ControlRingPorts ring_ports_;
    StackPorts ports_;

    // the control thread's
    lvif_phase phase_ = LVIF_PHASE_WAITING;
    std::uint64_t next_us_ = 0;
    std::uint64_t connections_ = 0;  // the one that the stack knows of
    bool link_up_ = false;
    std::uint16_t mtu_ = 0;
    bool ports_started_ = false;
    std::string trouble_;
    bool hypervisor_gone_ = false;

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::optional<Offer> offer_;  // of the first connection
    std::string refusal_;
    bool link_was_up_ = false;

    std::atomic<bool> server_alive_ = false;
    std::atomic<bool> stop_ = false;
    std::thread thread_;  // last
};

}  // namespace librettos::guest
