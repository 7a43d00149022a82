// SPDX-License-Identifier: BSD-2-Clause
// All guests that the server knows, by domain: finds them in the store, hands each event to the one it is about, and
// sees to it that what one guest causes costs the others nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "daemon/engine/control/auto_switch.hpp"
#include "daemon/engine/control/guest.hpp"

namespace librettos::control {

struct Readopted {
    std::size_t guests = 0;
    double ms = 0;
};

class Guests {
  public:
    // With a guest that is switched, in each of its steps, unless an operator says otherwise.
    static constexpr std::chrono::milliseconds switch_patience{2000};

    // All references outlive this object, except for the data plane: it may, and in an engine that ends must, be
    // destroyed before (its threads use the guests' memory); only the destructor may be called then.
    Guests(Hypervisor& hypervisor, DataPlane& data_plane, HolderLink& holder, Config const& config,
           PortDescription const& port);
    ~Guests();
    Guests(Guests const&) = delete;
    Guests& operator=(Guests const&) = delete;

    // Takes up what the last engine left, connected guests first, then looks for others. Throws std::system_error when
    // the hypervisor is lost, as all handle_* do; what goes wrong with one guest stays with it.
    void start(TimePoint now);

    void handle_store_events(TimePoint now);
    void handle_data_events(TimePoint now);
    void handle_channels(TimePoint now);  // when channels_fd() is readable
    void handle_time(TimePoint now);      // at next_wake()
    void set_link(LinkState link, TimePoint now);
    void set_vf(HolderMessage const& state, TimePoint now);
    void vf_done(HolderMessage const& done, TimePoint now);

    int channels_fd() const { return around_.channels_epoll; }
    TimePoint next_wake() const;  // max(): never

    // For the operator. Guests keep their address while they are in the set.
    std::map<DomId, std::unique_ptr<Guest>> const& all() const { return guests_; }
    Guest* find(std::string_view name_or_domain) const;
    // These throw std::system_error for the hypervisor's refusals.
    void set_limits(Guest& guest, GuestLimits const& limits);
    void detach(Guest& guest, std::string const& reason, TimePoint now);
    // As the operator says, who also ends the choice by load with it: to this VF, which is nobody's, or back to the
    // server. The guest is connected and switches not already.
    void switch_guest(Guest& guest, std::optional<std::uint16_t> vf, std::chrono::milliseconds timeout, TimePoint now);
    void set_automatic(Guest& guest, bool automatic) { guest.set_automatic(automatic); }
    // Also ends what detach() began. With an assignment: it is offered that from its next connection on, which begins
    // at once.
    void attach(Guest& guest, TimePoint now, std::optional<Assignment> const& assignment = std::nullopt);
    // A domain that is no guest yet, where the host makes devices, whatever attach.names says. False: no such domain.
    bool attach_domain(std::string_view name_or_domain, Assignment const& assignment, TimePoint now);

    AutoSwitch const& auto_switch() const { return auto_switch_; }
    Readopted const& readopted() const { return readopted_; }
    LinkState link() const { return around_.link; }
    NetworkIdentity const& network() const { return around_.network; }
    VfTable const& vfs() const { return around_.vfs; }
    std::uint64_t breaches() const { return around_.breaches; }
    std::size_t mappings() const;
    static constexpr std::size_t watches = 1;

  private:
    void recover(TimePoint now);
    bool recover_one(DomId domain, TimePoint now);
    bool recover_vf(DomId domain, std::string const& name, std::string const& backend, TimePoint now);
    void scan(TimePoint now);
    void find_all(TimePoint now);
    void look_at(DomId domain, TimePoint now, Guest::Why why);
    bool take_up(DomId domain, TimePoint now);
    bool make_device(DomId domain, std::string const& name, TimePoint now);
    void review_ports(TimePoint now);
    void move_by_load(TimePoint now);
    void look_again(TimePoint now, std::string const& what, std::system_error const& error);
    std::string backend_path(std::string const& guest) const;
    bool is_wanted(std::string const& name) const;
    std::optional<std::string> wanted_name(DomId domain, TimePoint now);
    template <typename Step>
    void guarded(Guest& guest, TimePoint now, Step step);
    void remember_slot(Guest const& guest);
    void erase_if_finished(DomId domain);
    void look_whether_finished(Guest const& guest, TimePoint now);

    Surroundings around_;
    std::map<DomId, std::unique_ptr<Guest>> guests_;
    std::map<Slot, DomId> by_slot_;
    AutoSwitch auto_switch_{around_};
    TimePoint scan_at_ = TimePoint::max();
    TokenBucket scan_budget_{16, std::chrono::milliseconds(50)};  // a guest can cause scans: by many changes at once
    TokenBucket make_budget_{16, std::chrono::milliseconds(50)};
    Readopted readopted_;
};

}  // namespace librettos::control
