// SPDX-License-Identifier: BSD-2-Clause
// The switch of one guest between the rings and a VF: its steps, and the way back from each (librettos/vf_switch.h is
// what the guest sees of it).
//
// Theory of operation. Steps are in a line, there and back:
//
//     rings -> giving -> preparing -> steering -> draining -> committing -> direct
//       ^                                                                     |
//       +------- taking <- releasing <- steering_back <- returning <----------+
//
// A step is written down before it acts, so that the next server finds at most one step that may or may not have been
// done; every step may be done twice: a server that finds a guest beyond `preparing` goes there again from the start.
// Frames for the guest wait from `steering` to its answer to `committing`, so nothing is written down between these
// steps: the first of them is written down as the last, of which most has to be undone.
// What fails on the way there turns round, to the step that undoes what was begun. On the way back nothing turns round:
// a guest that is silent is passed over, the NIC is asked again until it obeys; so a guest always ends with frames
// reaching it, by the VF or by the rings.
//
// Pure: what a step does is the Effects' business, whose outcome comes back through the functions named after it. Not
// for shared guests. One thread.
#pragma once

#include <librettos/control_ring.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace librettos::control {

class VfSwitch {
  public:
    using TimePoint = std::chrono::steady_clock::time_point;

    enum class Step : std::uint8_t {
        rings,
        giving,      // NIC: the VF gets the guest's MAC, VLAN, rate, anti-spoof
        preparing,   // guest: VF up
        steering,    // NIC: frames for the MAC go to the VF
        draining,    // data plane: those that came before are in the rings
        committing,  // guest: sends through the VF
        direct,
        returning,      // guest: sends through the rings
        steering_back,  // NIC: frames for the MAC go to the server's port
        releasing,      // guest: VF down
        taking,         // NIC: the VF is nobody's
    };

    enum class Nic : std::uint8_t { give, steer_to_vf, steer_to_port, take };

    class Effects {
      public:
        virtual ~Effects() = default;
        // What a server that starts in the middle has to know, or nothing; durable when it returns. May throw: the step
        // is not begun then.
        virtual void write_down(std::optional<std::string> const& record) = 0;
        virtual void operate_nic(Nic operation, std::uint16_t vf) = 0;  // then nic_done()
        // A SWITCH_ message to the guest; false: there is no room, tick() tries again.
        virtual bool tell_guest(lvif_message const& message) = 0;
        virtual void drain() = 0;  // then drained()
    };

    struct StepTime {
        Step step;
        std::chrono::microseconds took;
    };

    // For the operator: how the last one went.
    struct Report {
        std::uint32_t serial = 0;
        bool to_direct = false;
        bool reached = false;  // else `reason` says why the guest is where it was
        std::string reason;
        std::chrono::microseconds took{};
        TimePoint ended;
        std::vector<StepTime> steps;  // in turn
    };

    // Serial numbers of switches begin after `serial`, which is best one that no earlier server came to.
    explicit VfSwitch(Effects& effects, std::uint32_t serial = 0) : effects_(effects), serial_(serial) {}

    // As the operator wants. `timeout` is the guest's, for each answer. 0 or: EBUSY, a switch is under way; EALREADY.
    int to_direct(std::uint16_t vf, std::chrono::milliseconds timeout, TimePoint now);
    int to_rings(std::string reason, std::chrono::milliseconds timeout, TimePoint now);
    // The record of an earlier server's; the guest is connected. False: it says nothing that can be understood, and is
    // removed.
    bool resume(std::string_view record, TimePoint now);

    void nic_done(Nic operation, int status, TimePoint now);  // of the last request; 0 or -errno
    void drained(TimePoint now);
    void guest_answered(lvif_message const& reply, TimePoint now);  // a REPLY; others than ours are ignored
    void vf_lost(std::string reason, TimePoint now);                // the guest says so, or the NIC
    void greeted(bool direct, TimePoint now);                       // HELLO
    void guest_gone(TimePoint now);                                 // detached or dead: without it from here on
    void guest_back() { guest_there_ = true; }                      // connected anew; at Step::rings
    void tick(TimePoint now);                                       // at wake_at()

    TimePoint wake_at() const { return wake_at_; }  // max(): never
    Step step() const { return step_; }
    bool idle() const { return step_ == Step::rings || step_ == Step::direct; }
    std::optional<std::uint16_t> vf() const;  // the one that is the guest's, or partly
    bool receives_by_vf() const;              // the guest has the VF up, and will until it is told to let go
    std::uint32_t serial() const { return serial_; }
    Report const& report() const { return report_; }

  private:
    std::uint32_t message_id() const;
    void begin(bool there, std::string reason, TimePoint now);
    void enter(Step step, TimePoint now);
    void act(TimePoint now);
    void next(TimePoint now);
    void turn_round(std::string reason, TimePoint now);
    void tell(lvif_message_type type);
    void finish(TimePoint now);
    std::optional<std::string> record() const;

    Effects& effects_;
    Step step_ = Step::rings;
    Step furthest_ = Step::rings;  // on the way there, by this server or the one before: what has to be undone
    std::uint16_t vf_ = 0;
    std::uint32_t serial_;
    bool guest_there_ = true;
    bool told_ = false;  // the message of this step is in the ring
    bool due_ = false;   // write_down() failed: the step is to be entered again
    std::chrono::milliseconds timeout_{2000};
    TimePoint began_{}, entered_{}, deadline_{}, wake_at_ = TimePoint::max();
    std::optional<std::string> written_;  // by this server, last
    std::string reason_;                  // why it turned round
    bool going_there_ = false;
    std::vector<StepTime> steps_;
    Report report_;
};

char const* to_text(VfSwitch::Step step);

}  // namespace librettos::control
