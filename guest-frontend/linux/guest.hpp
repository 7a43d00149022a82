// SPDX-License-Identifier: BSD-2-Clause
// A guest at work: follows the device's state machine and its programs until they have ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "guest-frontend/linux/command_tree.hpp"
#include "guest-frontend/linux/control_ring_ports.hpp"
#include "guest-frontend/linux/frame_pump.hpp"
#include "guest-frontend/linux/guest_options.hpp"
#include "guest-frontend/linux/host.hpp"
#include "guest-frontend/linux/interface.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/port_service.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "guest-frontend/linux/vf_interface.hpp"
#include "guest-frontend/linux/vf_path.hpp"

namespace librettos::guest {

// The process's exit status when the hypervisor is gone (EX_SOFTWARE of sysexits.h).
constexpr int exit_hypervisor_gone = 70;

// One per process, on the control thread, in the guest's network namespace. A server that is away or crashed is waited
// for; the interface is untouched by a crash and down while detached. Without the hypervisor there is nothing to come
// back to: the programs are ended, as a domain is when its host fails.
class Guest {
  public:
    // vf: null, if it cannot use one. signals: a signalfd. Throws std::system_error, std::runtime_error.
    Guest(GuestOptions const& options, Host& host, TapDevice& tap, VfInterface* vf, CommandTree& programs, int signals);
    // Leaves the server in order.
    ~Guest();
    Guest(Guest const&) = delete;
    Guest& operator=(Guest const&) = delete;

    // Returns the exit status. Throws when the guest cannot be what was asked for.
    int run();

  private:
    using Clock = std::chrono::steady_clock;
    struct FreeDevice {
        void operator()(lvif_device* device) const;
    };

    void follow_device();
    void establish();
    void retire();
    void follow_vf();
    void follow_link();
    void start_ports();
    bool ports_ready();
    void follow_portmap();
    void give_ports_back();
    void start_programs();
    void check_offer(Offer const& offer) const;
    int wait_milliseconds() const;
    void wait_for_something();
    // true: all programs have ended, or none was started and none shall be.
    bool take_signals();
    bool lingers();
    void take_store_events();
    void hypervisor_is_gone();

    GuestOptions const& options_;
    Host& host_;
    lvif_environment environment_;
    TapDevice& tap_;
    CommandTree& programs_;
    int const signals_;
    Interface interface_;
    std::unique_ptr<lvif_device, FreeDevice> device_;
    std::optional<FramePump> pump_;
    std::optional<VfPath> vf_;
    ControlRingPorts ring_ports_;
    std::optional<PortService> ports_;  // of a shared guest, from its first connection on; not ours while it starts
    std::future<void> ports_start_;     // leasing may have to wait for the server, which this thread talks to
    bool server_grants_ = false;
    std::uint16_t ports_of_ = 0;  // domain of the server that was asked for them
    bool ports_asked_ = false;
    std::string trouble_;  // that was logged last

    lvif_phase phase_ = LVIF_PHASE_WAITING;
    std::uint64_t next_us_ = 0;      // lvif_poll's, on its clock
    std::uint64_t connections_ = 0;  // the one that the interface is set up for; 0: none, interface down
    bool carrier_ = false;
    std::uint16_t mtu_ = 0;
    Clock::time_point give_up_ = Clock::time_point::max();       // waiting for a server
    Clock::time_point start_anyway_ = Clock::time_point::max();  // without a link message
    Clock::time_point kill_ = Clock::time_point::max();          // after SIGTERM, hypervisor gone
    std::optional<Clock::time_point> linger_until_;              // since the programs have ended
    bool hypervisor_gone_ = false;
    int end_signal_ = 0;  // before the programs were started
};

}  // namespace librettos::guest
