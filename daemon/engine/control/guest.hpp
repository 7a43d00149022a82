// SPDX-License-Identifier: BSD-2-Clause
// One guest's device 0: the server's side of the handshake (librettos/handshake.h), from its appearing to its end.
//
// Theory of operation. Everything is level-triggered: refresh() reads the frontend's state and does what is due, so an
// event that is missed, merged or repeated changes nothing, and an attempt that fails half-way is simply made again
// later. What should stand in the backend's `state` is kept as desired_ and written until that succeeded.
//
//   detached     no rings. The guest's Initialising leads to an offer, unless an operator holds it or it is too early
//   waiting      offer made (InitWait). Initialised leads to mapping and, when everything checks out, to
//   connected    served by the data plane. Ends by the guest leaving, breaking a rule, dying, or the operator, always
//   through letting_go   the data plane was asked; once it answers, memory is unmapped and the guest is detached (or
//   forgotten)
//
// The guest may write anything at any time: each refresh costs a token of its budget, each breach doubles the time
// until its next offer. Exceptions (std::system_error) leave through refresh(); Guests postpones the guest and calls
// again.
#pragma once

#include <librettos/handshake.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "daemon/engine/control/guest_rings.hpp"
#include "daemon/engine/control/guest_switch.hpp"
#include "daemon/engine/control/offer.hpp"
#include "daemon/engine/control/surroundings.hpp"

namespace librettos::control {

// The hypervisor itself is gone (as opposed to: it refused something). No use to go on.
bool hypervisor_lost(std::system_error const& error);

class Guest {
  public:
    // Keys of the backend directory beside those of the handshake
    static constexpr char key_name[] = "domain";      // the guest's name: domain ids may be used again
    static constexpr char key_held[] = "held";        // by an operator, until attach()
    static constexpr char key_invited[] = "invited";  // by an operator, whatever attach.names says
    static constexpr char key_switch[] = "switch";    // how far to a VF: VfSwitch
    static constexpr char key_way[] = "way";          // to the wire: "auto" or "fixed", when an operator has said so

    enum class Phase : std::uint8_t { detached, waiting, connected, letting_go };

    Guest(Surroundings& surroundings, DomId domain, std::string name);
    ~Guest();
    Guest(Guest const&) = delete;
    Guest& operator=(Guest const&) = delete;

    // At engine start: takes up what the backend directory holds. A Connected guest is mapped and served again; one
    // that cannot be is detached. True: it is connected.
    bool adopt(TimePoint now);
    // The same for one whose domain has gone meanwhile, but not its VF. It is finished when that is back.
    void adopt_dead(TimePoint now);
    // Does what is due. Why::event: the guest caused this, so it pays for the look. Why::scan: somebody caused this,
    // the guest pays if its state changed.
    enum class Why : std::uint8_t { own_time, event, scan };
    void refresh(TimePoint now, Why why);
    void handle_control(TimePoint now);
    void handle_time(TimePoint now);

    // The data plane's words
    void serving();
    void broken(char const* reason, TimePoint now);
    void let_go(TimePoint now);
    void drained(std::uint64_t frames, TimePoint now);

    // The holder's words
    void vf_done(HolderMessage const& done, TimePoint now);
    void vf_changed(std::uint16_t vf, TimePoint now);

    // The domain is gone, or its device is.
    void die(TimePoint now);
    // Not wanted any more. `hold`: it stays out until attach().
    void detach(std::string const& reason, TimePoint now, bool hold);
    void attach(TimePoint now);
    int switch_to_direct(std::uint16_t vf, std::chrono::milliseconds timeout, TimePoint now);
    int switch_to_server(std::string reason, std::chrono::milliseconds timeout, TimePoint now);
    // Its way to the wire is chosen by its load, or by the operator. Throws std::system_error.
    void set_automatic(bool automatic);
    void set_limits(GuestLimits const& limits);
    void link_changed(TimePoint now);
    // After an exception: try again later, and ever later.
    void postpone(TimePoint now);

    bool finished() const { return finished_; }
    bool invited() const { return invited_; }
    TimePoint wake_at() const { return std::min({state_wake_, channel_wake_, switch_.wake_at()}); }
    std::uint32_t generation() const { return generation_; }

    DomId domain() const { return domain_; }
    std::string const& name() const { return name_; }
    Phase phase() const { return phase_; }
    std::optional<Slot> slot() const { return slot_; }
    // Of one that is detached: the mode that it asked for, and addresses if it keeps them.
    Offer const& offer() const { return offer_; }
    GuestRings const* rings() const { return rings_.get(); }
    GuestSwitch const& vf_switch() const { return switch_; }
    bool automatic() const { return automatic_; }
    char const* way() const { return way_text(automatic_); }
    GuestLimits const& limits() const { return limits_; }
    std::string const& program() const { return program_; }
    std::string const& detach_reason() const { return reason_; }
    TimePoint attached_at() const { return attached_at_; }
    std::string const& frontend() const { return frontend_; }
    std::string const& backend() const { return backend_; }

  private:
    // the switch: guest_vf.cpp
    static constexpr char const* way_text(bool automatic) { return automatic ? "auto" : "fixed"; }
    std::optional<std::string> read_switch();
    void read_way();
    void adopt_switch(std::string const& record, TimePoint now);
    void after_switch(TimePoint now);
    // handshake: guest.cpp
    bool adopt_connection(TimePoint now);
    std::optional<lvif_state> read_frontend_state();
    void follow(lvif_state state, TimePoint now);
    void refresh_detached(lvif_state state, TimePoint now);
    void refresh_waiting(lvif_state state, TimePoint now);
    void refresh_connected(lvif_state state, TimePoint now);
    void introduce();
    void make_offer(TimePoint now);
    void connect(TimePoint now);
    void breach(std::string const& reason, TimePoint now);
    void start_letting_go(TimePoint now);
    void forget();
    void want(lvif_state state, std::string reason);
    void publish();
    void count_attached(bool attached);
    void admit_to_ports();
    // address: guest_address.cpp
    std::string read_wish();
    static GuestMode wanted_mode(Assignment const& assigned, std::string const& wish);
    std::string choose_address();  // empty, or why there is none
    bool assignment_is_current() const;
    bool identity_is_current() const;
    // connection: guest_connection.cpp
    std::string open(RequestBounds const& bounds, TimePoint now);  // empty, or why it failed
    void listen();
    void stop_listening();
    void rearm();
    void answer(lvif_message const& message, TimePoint now);
    void answer_ports(lvif_message const& message, lvif_message& reply);
    void tell_state();
    void say_detached(std::string const& reason);

    Surroundings& around_;
    DomId domain_;
    std::string name_;
    std::string frontend_;
    std::string backend_;
    Phase phase_ = Phase::detached;
    bool touched_ = false;     // something of us may be in the store
    bool introduced_ = false;  // the backend directory is there, and the guest knows it
    bool gone_ = false;
    bool finished_ = false;
    bool held_ = false;
    bool held_written_ = false;
    bool invited_ = false;
    bool limits_set_ = false;  // by the operator
    bool counted_ = false;
    bool link_owed_ = false;
    bool mtu_owed_ = false;
    bool listening_ = false;
    bool greeted_ = false;
    bool program_owed_ = false;
    std::uint32_t generation_ = 0;
    std::optional<lvif_state> seen_;  // of the frontend, at the last refresh
    lvif_state published_ = LVIF_STATE_UNKNOWN;
    lvif_state desired_ = LVIF_STATE_UNKNOWN;
    std::string reason_;
    std::string program_;
    std::string wish_ = "shared";  // the guest's request-mode when its address was chosen
    Offer offer_;
    GuestLimits limits_;
    std::optional<std::size_t> pool_index_;
    std::unique_ptr<GuestRings> rings_;
    std::optional<Slot> slot_;
    GuestSwitch switch_;
    bool was_at_rings_ = true;  // when we looked last
    bool automatic_ = false;
    TimePoint attached_at_{};
    TimePoint state_wake_ = TimePoint::max();
    TimePoint channel_wake_ = TimePoint::max();
    TimePoint offer_not_before_{};
    std::uint32_t breaches_ = 0;
    std::uint32_t failures_ = 0;
    TokenBucket state_budget_{64, std::chrono::milliseconds(100)};
    TokenBucket channel_budget_{64, std::chrono::milliseconds(5)};
    TokenBucket port_budget_{128, std::chrono::milliseconds(5)};  // each operation may write to the store
};

char const* to_text(Guest::Phase phase);

}  // namespace librettos::control
