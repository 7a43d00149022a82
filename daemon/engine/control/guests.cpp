// SPDX-License-Identifier: BSD-2-Clause
// The set of guests.
#include "daemon/engine/control/guests.hpp"

#include <fnmatch.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <set>
#include <system_error>
#include <vector>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

constexpr char domains_path[] = "/local/domain";
constexpr auto scan_again_after = std::chrono::milliseconds(200);

std::optional<DomId> domain_of(std::string_view text) {
    auto const number = parse_number(text, std::numeric_limits<std::uint16_t>::max());
    return number ? std::optional(DomId{static_cast<std::uint16_t>(*number)}) : std::nullopt;
}

// Which domain a change is about, if it can matter to us: the domain's directory itself, or one on the way
// to its device's state.
struct Change {
    bool all = false;
    std::optional<DomId> domain;
};

Change change_of(std::string_view path) {
    if (path == domains_path || path.empty() || !path.starts_with("/local/domain/"))
        return {path == domains_path, std::nullopt};
    auto rest = path.substr(sizeof domains_path);
    auto const slash = rest.find('/');
    auto const domain = domain_of(rest.substr(0, slash));
    if (slash == std::string_view::npos)
        return {false, domain};
    constexpr std::string_view state = "/device/" LVIF_DEVICE_CLASS "/0/" LVIF_KEY_STATE;
    rest.remove_prefix(slash);
    bool const on_the_way = state == rest || (state.starts_with(rest) && state[rest.size()] == '/');
    return {false, on_the_way || rest == "/name" ? domain : std::nullopt};
}

}  // namespace

Guests::Guests(Hypervisor& hypervisor, DataPlane& data_plane, HolderLink& holder, Config const& config,
               PortDescription const& port)
    : around_{.hypervisor = hypervisor,
              .data_plane = data_plane,
              .holder = holder,
              .config = config,
              .network = network_identity(config, port),
              .pool = AddressPool(config.dedicated, network_identity(config, port).mac),
              .link = {},
              .vfs = VfTable(config.direct.steering == "none" ? std::vector<std::string>() : config.direct.vfs)} {
    around_.ports = hypervisor.server_ports();
    around_.channels_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (around_.channels_epoll < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Guests::~Guests() {
    guests_.clear();
    close(around_.channels_epoll);
}

void Guests::start(TimePoint now) {
    around_.hypervisor.watch(domains_path);
    find_all(now);
    around_.data_plane.release_unclaimed_slots();
    if (readopted_.guests > 0)
        spdlog::info("re-adopted {} guest(s) in {:.2f} ms", readopted_.guests, readopted_.ms);
}

// Guests of the last engine first: they have rings with frames in them.
void Guests::find_all(TimePoint now) {
    if (!scan_budget_.take(now)) {
        scan_at_ = std::min(scan_at_, scan_budget_.next(now));
        return;
    }
    scan_at_ = TimePoint::max();
    try {
        recover(now);
        scan(now);
        review_ports(now);
    } catch (std::system_error const& error) {
        if (hypervisor_lost(error))
            throw;
        look_again(now, "the store", error);
    }
}

void Guests::recover(TimePoint now) {
    auto& hypervisor = around_.hypervisor;
    auto const begin = Clock::now();
    auto const root = backend_path("");
    for (auto const& entry : hypervisor.list(root)) {
        auto const domain = domain_of(entry);
        if (domain && guests_.contains(*domain))
            continue;
        try {
            if (!domain || !recover_one(*domain, now))
                hypervisor.remove(root + "/" + entry);
        } catch (std::system_error const& error) {
            if (hypervisor_lost(error))
                throw;
            look_again(now, "domain " + printable(entry, 20), error);
        }
    }
    if (readopted_.ms == 0)
        readopted_.ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// False: its backend directory is stale.
bool Guests::recover_one(DomId domain, TimePoint now) {
    auto& hypervisor = around_.hypervisor;
    auto const backend = backend_path(std::to_string(domain.value)) + "/0";
    auto const name = hypervisor.read(backend + "/domain");
    auto const present = hypervisor.domain_exists(domain) ? hypervisor.domain_name(domain) : std::nullopt;
    if (!present || !name || *present != *name || !is_domain_name(*name)) {
        auto const mac = parse_mac(hypervisor.read(backend + "/" LVIF_KEY_MAC).value_or(""));
        if (mac && *mac != around_.network.mac)
            around_.holder.remove_mac(*mac);
        return recover_vf(domain, name.value_or("?"), backend, now);
    }
    auto guest = std::make_unique<Guest>(around_, domain, *name);
    auto& adopted = *guest;
    bool const connected = adopted.adopt(now);  // when this throws the guest is not in the set, and tried again
    guests_.emplace(domain, std::move(guest));
    remember_slot(adopted);
    readopted_.guests += connected ? 1 : 0;
    if (!is_wanted(*name) && !adopted.invited())
        guarded(adopted, now, [&] { adopted.detach("attach.names does not name this guest", now, true); });
    return true;
}

// Of a guest that has died since. True: it is in the set until its VF is back.
bool Guests::recover_vf(DomId domain, std::string const& name, std::string const& backend, TimePoint now) {
    if (!around_.hypervisor.read(backend + "/" + Guest::key_switch))
        return false;
    auto guest = std::make_unique<Guest>(around_, domain, printable(name, 63));
    guest->adopt_dead(now);
    if (!guest->finished())
        guests_.emplace(domain, std::move(guest));
    return true;
}

void Guests::scan(TimePoint now) {
    auto const domains = around_.hypervisor.domains();
    std::set<DomId> present(domains.begin(), domains.end());
    for (auto const& [domain, guest] : guests_)
        present.insert(domain);
    for (auto const domain : present)
        look_at(domain, now, Guest::Why::scan);
}

void Guests::look_at(DomId domain, TimePoint now, Guest::Why why) {
    if (domain == around_.hypervisor.self())
        return;
    try {
        bool const alive = around_.hypervisor.domain_exists(domain);
        if (!guests_.contains(domain) && (!alive || !take_up(domain, now)))
            return;
        auto& guest = *guests_.at(domain);
        guarded(guest, now, [&] { alive ? guest.refresh(now, why) : guest.die(now); });
        erase_if_finished(domain);
        if (!alive)
            review_ports(now);
    } catch (std::system_error const& error) {
        if (hypervisor_lost(error))
            throw;
        look_again(now, "domain " + std::to_string(domain.value), error);
    }
}

// A domain that is not in the set. True: now it is.
bool Guests::take_up(DomId domain, TimePoint now) {
    auto& hypervisor = around_.hypervisor;
    auto const frontend = std::string(domains_path) + "/" + std::to_string(domain.value) + "/device/" LVIF_DEVICE_CLASS;
    bool const has_device = hypervisor.read(frontend + "/0/" LVIF_KEY_STATE).has_value();
    if (!has_device && !hypervisor.makes_devices())
        return false;
    auto const name = wanted_name(domain, now);
    if (!has_device && (!name || !make_device(domain, *name, now)))
        return false;
    auto const backend = backend_path(std::to_string(domain.value));
    if (hypervisor.read(backend + "/0/" LVIF_KEY_FRONTEND)) {  // left by an engine before us, and not found at start
        if (recover_one(domain, now))
            return true;
        hypervisor.remove(backend);
    }
    if (name)
        guests_.emplace(domain, std::make_unique<Guest>(around_, domain, *name));
    return name.has_value();
}

// For a domain that attach.names wants. A guest that removes its device again and again gets it again at our pace.
bool Guests::make_device(DomId domain, std::string const& name, TimePoint now) {
    if (!make_budget_.take(now)) {
        scan_at_ = std::min(scan_at_, make_budget_.next(now));
        return false;
    }
    around_.hypervisor.make_device(domain, {{Guest::key_name, name}});
    return true;
}

// Domains end also while they are no guests, or while no server is there.
void Guests::review_ports(TimePoint now) {
    if (around_.ports == nullptr)
        return;
    std::vector<DomId> gone;
    for (auto const& known : around_.ports->domains()) {
        auto const name = around_.hypervisor.domain_exists(known.domain) ? around_.hypervisor.domain_name(known.domain)
                                                                         : std::nullopt;
        if (name != known.name)
            gone.push_back(known.domain);
    }
    for (auto const domain : gone)
        around_.ports->remove_domain(domain);
    around_.ports_wake = now;
}

void Guests::look_again(TimePoint now, std::string const& what, std::system_error const& error) {
    if (around_.log.allow(now))
        spdlog::warn("{}: {}; looking again soon", what, error.what());
    scan_at_ = std::min(scan_at_, now + scan_again_after);
}

std::string Guests::backend_path(std::string const& guest) const {
    auto const root = std::string(domains_path) + "/" + std::to_string(around_.hypervisor.self().value) +
                      "/backend/" LVIF_DEVICE_CLASS;
    return guest.empty() ? root : root + "/" + guest;
}

bool Guests::is_wanted(std::string const& name) const {
    auto const& patterns = around_.config.attach.names;
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](std::string const& pattern) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; });
}

// The domain's name, when attach.names wants it.
std::optional<std::string> Guests::wanted_name(DomId domain, TimePoint now) {
    auto name = around_.hypervisor.domain_name(domain);
    if (!name || !is_wanted(*name))
        return std::nullopt;
    if (!is_domain_name(*name)) {
        if (around_.log.allow(now))
            spdlog::warn("domain {} has the name '{}', which is none: not attached", domain.value,
                         printable(*name, 64));
        return std::nullopt;
    }
    return name;
}

template <typename Step>
void Guests::guarded(Guest& guest, TimePoint now, Step step) {
    try {
        step();
    } catch (std::system_error const& error) {
        if (hypervisor_lost(error))
            throw;
        if (around_.log.allow(now))
            spdlog::warn("guest '{}' (domain {}): {}; trying again", guest.name(), guest.domain().value, error.what());
        guest.postpone(now);
    }
    remember_slot(guest);
}

void Guests::remember_slot(Guest const& guest) {
    if (guest.slot())
        by_slot_[*guest.slot()] = guest.domain();
}

void Guests::erase_if_finished(DomId domain) {
    auto const found = guests_.find(domain);
    if (found != guests_.end() && found->second->finished())
        guests_.erase(found);
}

void Guests::handle_store_events(TimePoint now) {
    bool all = false;
    std::set<DomId> changed;  // what happened many times is looked at once
    for (auto const& event : around_.hypervisor.take_watch_events()) {
        auto const change = change_of(event.changed);
        all = all || change.all;
        if (change.domain)
            changed.insert(*change.domain);
    }
    for (auto const domain : changed)
        look_at(domain, now, Guest::Why::event);
    if (all)
        find_all(now);
}

void Guests::handle_data_events(TimePoint now) {
    for (auto const& event : around_.data_plane.take_events()) {
        auto const owner = by_slot_.find(event.slot);
        if (owner == by_slot_.end())
            continue;
        auto const domain = owner->second;
        auto& guest = *guests_.at(domain);
        switch (event.kind) {
            case DataEvent::Kind::added:
                guest.serving();
                break;
            case DataEvent::Kind::broken:
                guarded(guest, now, [&] { guest.broken(event.reason, now); });
                break;
            case DataEvent::Kind::removed:
                by_slot_.erase(owner);
                guarded(guest, now, [&] { guest.let_go(now); });
                erase_if_finished(domain);
                break;
            case DataEvent::Kind::drained:
                guarded(guest, now, [&] { guest.drained(event.frames, now); });
                break;
        }
    }
}

void Guests::handle_channels(TimePoint now) {
    std::array<epoll_event, 64> events;
    int const count = epoll_wait(around_.channels_epoll, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        auto const tag = events[static_cast<std::size_t>(i)].data.u64;
        auto const found = guests_.find(DomId{static_cast<std::uint16_t>(tag)});
        if (found == guests_.end() || found->second->generation() != tag >> 16)
            continue;
        auto& guest = *found->second;
        guarded(guest, now, [&] { guest.handle_control(now); });
    }
}

void Guests::handle_time(TimePoint now) {
    if (now >= scan_at_)
        find_all(now);
    if (around_.ports != nullptr && now >= around_.ports_wake) {
        auto const wait = around_.ports->handle_time();
        around_.ports_wake = wait == wait.max() ? TimePoint::max() : now + wait;
    }
    if (now >= auto_switch_.wake_at())
        move_by_load(now);
    std::vector<DomId> due;
    for (auto const& [domain, guest] : guests_) {
        if (guest->wake_at() <= now)
            due.push_back(domain);
    }
    for (auto const domain : due) {
        auto& guest = *guests_.at(domain);
        guarded(guest, now, [&] { guest.handle_time(now); });
        look_whether_finished(guest, now);
    }
}

void Guests::move_by_load(TimePoint now) {
    auto const move = auto_switch_.look(guests_, now);
    if (!move)
        return;
    auto& guest = *guests_.at(move->guest);
    int refused = EAGAIN;
    guarded(guest, now, [&] {
        if (auto const vf = around_.vfs.choose(); move->to_direct && vf)
            refused = guest.switch_to_direct(*vf, switch_patience, now);
        else if (!move->to_direct)
            refused = guest.switch_to_server("by its load: " + move->reason, switch_patience, now);
    });
    auto_switch_.ordered(*move, guest, refused, now);
}

// Its domain's id may be another guest's already, which was not looked at as long as this one was in the set.
void Guests::look_whether_finished(Guest const& guest, TimePoint now) {
    if (!guest.finished())
        return;
    auto const domain = guest.domain();
    erase_if_finished(domain);
    look_at(domain, now, Guest::Why::own_time);
}

void Guests::set_link(LinkState link, TimePoint now) {
    around_.link = link;
    for (auto const& [domain, guest] : guests_)
        guest->link_changed(now);
}

void Guests::set_vf(HolderMessage const& state, TimePoint now) {
    if (!around_.vfs.update(state))
        return;
    auto const owner = around_.vfs.find(state.vf)->owner;
    if (auto const found = owner ? guests_.find(*owner) : guests_.end(); found != guests_.end())
        guarded(*found->second, now, [&] { found->second->vf_changed(state.vf, now); });
}

void Guests::vf_done(HolderMessage const& done, TimePoint now) {
    auto const found = guests_.find(DomId{done.guest});
    if (found == guests_.end())
        return;
    auto& guest = *found->second;
    guarded(guest, now, [&] { guest.vf_done(done, now); });
    look_whether_finished(guest, now);
}

TimePoint Guests::next_wake() const {
    auto wake = std::min({scan_at_, around_.ports_wake, auto_switch_.wake_at()});
    for (auto const& [domain, guest] : guests_)
        wake = std::min(wake, guest->wake_at());
    return wake;
}

Guest* Guests::find(std::string_view name_or_domain) const {
    if (auto const domain = domain_of(name_or_domain)) {
        if (auto const found = guests_.find(*domain); found != guests_.end())
            return found->second.get();
    }
    for (auto const& [domain, guest] : guests_) {
        if (guest->name() == name_or_domain)
            return guest.get();
    }
    return nullptr;
}

void Guests::set_limits(Guest& guest, GuestLimits const& limits) {
    guest.set_limits(limits);
}

void Guests::detach(Guest& guest, std::string const& reason, TimePoint now) {
    guarded(guest, now, [&] { guest.detach(reason, now, true); });
}

void Guests::switch_guest(Guest& guest, std::optional<std::uint16_t> vf, std::chrono::milliseconds timeout,
                          TimePoint now) {
    guest.set_automatic(false);
    int const refused =
        vf ? guest.switch_to_direct(*vf, timeout, now) : guest.switch_to_server("by the operator", timeout, now);
    if (refused != 0)
        throw std::system_error(refused, std::generic_category(), "switching " + guest.name());
}

void Guests::attach(Guest& guest, TimePoint now, std::optional<Assignment> const& assignment) {
    if (assignment)
        write_assignment(around_.hypervisor, guest.backend(), *assignment);
    guarded(guest, now, [&] { guest.attach(now); });
    erase_if_finished(guest.domain());
}

bool Guests::attach_domain(std::string_view name_or_domain, Assignment const& assignment, TimePoint now) {
    auto& hypervisor = around_.hypervisor;
    for (auto const domain : hypervisor.domains()) {
        auto const name = hypervisor.domain_name(domain);
        if (domain == hypervisor.self() || !name || (*name != name_or_domain && domain_of(name_or_domain) != domain))
            continue;
        if (!is_domain_name(*name))
            throw std::system_error(EINVAL, std::generic_category(),
                                    "the domain's name is not 1 to 63 letters, digits, '.', '_' or '-'; xl rename it");
        auto keys = assignment_keys(assignment);
        keys.emplace_back(Guest::key_name, *name);
        keys.emplace_back(Guest::key_invited, "1");
        hypervisor.make_device(domain, keys);
        look_at(domain, now, Guest::Why::own_time);
        return true;
    }
    return false;
}

std::size_t Guests::mappings() const {
    std::size_t count = 0;
    for (auto const& [domain, guest] : guests_)
        count += guest->rings() != nullptr ? guest->rings()->mappings() : 0;
    return count;
}

}  // namespace librettos::control
