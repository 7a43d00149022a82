// SPDX-License-Identifier: BSD-2-Clause
// The handshake with one guest: states, offers, refusals, the end.
#include "daemon/engine/control/guest.hpp"

#include <librettos/frame_ring.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <system_error>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

constexpr auto first_back_off = std::chrono::milliseconds(100);
constexpr auto longest_back_off = std::chrono::seconds(10);
constexpr auto good_conduct = std::chrono::seconds(60);  // connected for so long, earlier breaches are forgotten
constexpr auto retry_refused = std::chrono::seconds(1);  // the guest waits; what it lacks may have become free
constexpr std::size_t guest_reason_bytes = sizeof(lvif_message::u.detached.reason) - 1;  // as much as it can take

Clock::duration back_off(std::uint32_t times) {
    return std::min<Clock::duration>(first_back_off * (1U << std::min(times, 10U)), longest_back_off);
}

std::string device_path(DomId domain) {
    return "/local/domain/" + std::to_string(domain.value) + "/device/" LVIF_DEVICE_CLASS "/0";
}

std::string backend_root(DomId server, DomId guest) {
    return "/local/domain/" + std::to_string(server.value) + "/backend/" LVIF_DEVICE_CLASS "/" +
           std::to_string(guest.value);
}

}  // namespace

bool hypervisor_lost(std::system_error const& error) {
    auto const& code = error.code();
    return code == std::errc::connection_reset || code == std::errc::broken_pipe || code == std::errc::not_connected ||
           code == std::errc::timed_out;
}

char const* to_text(Guest::Phase phase) {
    switch (phase) {
        case Guest::Phase::waiting:
            return "waiting";
        case Guest::Phase::connected:
            return "connected";
        case Guest::Phase::letting_go:
            return "closing";
        case Guest::Phase::detached:
            break;
    }
    return "detached";
}

Guest::Guest(Surroundings& surroundings, DomId domain, std::string name)
    : around_(surroundings),
      domain_(domain),
      name_(std::move(name)),
      frontend_(device_path(domain)),
      backend_(backend_root(surroundings.hypervisor.self(), domain) + "/0"),
      switch_(surroundings, domain, name_, backend_ + "/" + key_switch) {
    auto const& limits = around_.config.limits;
    limits_ = {limits.frames_per_s, limits.bits_per_s, limits.ports};
    automatic_ = around_.config.direct.automatic.enabled;
}

Guest::~Guest() {
    stop_listening();
    count_attached(false);
    if (pool_index_)
        around_.pool.give_back(*pool_index_);
}

bool Guest::adopt(TimePoint now) {
    auto const record = read_switch();
    bool const connected = adopt_connection(now);
    if (record)
        adopt_switch(*record, now);
    return connected;
}

bool Guest::adopt_connection(TimePoint now) {
    auto& hypervisor = around_.hypervisor;
    touched_ = true;
    auto const state = parse_number(hypervisor.read(backend_ + "/" LVIF_KEY_STATE).value_or(""), LVIF_STATE_CLOSED);
    published_ = desired_ = state ? static_cast<lvif_state>(*state) : LVIF_STATE_UNKNOWN;
    introduced_ = published_ != LVIF_STATE_UNKNOWN;
    reason_ = printable(hypervisor.read(backend_ + "/" LVIF_KEY_DETACH_REASON).value_or(""), 200);
    program_ = printable(hypervisor.read(backend_ + "/program").value_or(""), 40);
    read_way();
    invited_ = hypervisor.read(backend_ + "/" + key_invited).has_value();
    held_ = held_written_ = hypervisor.read(backend_ + "/" + key_held).has_value();
    if (auto const limits = read_limits(hypervisor, backend_)) {
        limits_ = *limits;
        limits_set_ = true;
    }
    auto const offer = read_offer(hypervisor, backend_);
    if (!offer || (published_ != LVIF_STATE_INIT_WAIT && published_ != LVIF_STATE_CONNECTED)) {
        offer_.mode = wanted_mode(read_assignment(hypervisor, backend_), read_wish());
        return false;
    }
    offer_ = *offer;
    wish_ = read_wish();
    if (offer_.mode == GuestMode::dedicated)
        pool_index_ = around_.pool.claim(name_, offer_.ipv4, offer_.ipv6, offer_.mac);
    if (!identity_is_current()) {
        detach("the server's addresses changed", now, false);
        return false;
    }
    if (hypervisor.read(backend_ + "/" LVIF_KEY_PORT_AUTHORITY) != std::string(hypervisor.portmap_authority())) {
        detach("the portmap has another authority", now, false);
        return false;
    }
    count_attached(true);
    phase_ = Phase::waiting;
    if (published_ != LVIF_STATE_CONNECTED)
        return false;
    auto const failed = open({offer_.max_queues, offer_.max_ring_bytes}, now);
    if (!failed.empty()) {
        breach(failed, now);
        return false;
    }
    rings_->notify_all();
    return true;
}

std::optional<lvif_state> Guest::read_frontend_state() {
    auto const text = around_.hypervisor.read(frontend_ + "/" LVIF_KEY_STATE);
    if (!text)
        return std::nullopt;
    return static_cast<lvif_state>(parse_number(*text, LVIF_STATE_CLOSED).value_or(LVIF_STATE_UNKNOWN));
}

void Guest::refresh(TimePoint now, Why why) {
    if (why == Why::event && !state_budget_.take(now)) {
        state_wake_ = std::min(state_wake_, state_budget_.next(now));
        return;
    }
    if (phase_ == Phase::letting_go)
        return;
    if (gone_) {
        if (switch_.at_rings())
            forget();
        return;
    }
    auto const state = read_frontend_state();
    bool const changed = state != seen_;
    if (why == Why::scan && changed && !state_budget_.take(now)) {
        state_wake_ = std::min(state_wake_, state_budget_.next(now));
        return;
    }
    publish();
    if (!state) {
        die(now);
        return;
    }
    follow(*state, now);
    if (phase_ != Phase::letting_go)
        publish();
    seen_ = state;
    failures_ = 0;
}

void Guest::follow(lvif_state state, TimePoint now) {
    switch (phase_) {
        case Phase::detached:
            refresh_detached(state, now);
            break;
        case Phase::waiting:
            refresh_waiting(state, now);
            break;
        case Phase::connected:
            refresh_connected(state, now);
            break;
        case Phase::letting_go:
            break;
    }
}

void Guest::refresh_detached(lvif_state state, TimePoint now) {
    if (state == LVIF_STATE_INITIALISING) {
        if (held_)
            want(LVIF_STATE_CLOSED, reason_);
        else if (!switch_.at_rings())
            return;  // after_switch()
        else if (now < offer_not_before_)
            state_wake_ = std::min(state_wake_, offer_not_before_);
        else
            make_offer(now);
        return;
    }
    if (state == LVIF_STATE_CLOSING || state == LVIF_STATE_CLOSED) {
        if (introduced_)
            want(LVIF_STATE_CLOSED, reason_);
        return;
    }
    if (desired_ != LVIF_STATE_CLOSING && desired_ != LVIF_STATE_CLOSED) {
        introduce();
        want(LVIF_STATE_CLOSING, "connected without an offer: start over");
    }
}

void Guest::refresh_waiting(lvif_state state, TimePoint now) {
    switch (state) {
        case LVIF_STATE_INITIALISING:
            if (read_wish() != wish_)  // the offer was made before the guest was there to ask
                make_offer(now);
            return;
        case LVIF_STATE_INIT_WAIT:
            return;
        case LVIF_STATE_INITIALISED:
            if (read_wish() == wish_) {
                connect(now);
                return;
            }
            phase_ = Phase::detached;  // it took that offer before it could see another
            count_attached(false);
            want(LVIF_STATE_CLOSING, "asked for another mode than it was offered: start over");
            return;
        case LVIF_STATE_CLOSING:
        case LVIF_STATE_CLOSED:
            phase_ = Phase::detached;
            count_attached(false);
            want(LVIF_STATE_CLOSED, "");
            return;
        default:
            breach("frontend state out of turn", now);
    }
}

void Guest::refresh_connected(lvif_state state, TimePoint now) {
    switch (state) {
        case LVIF_STATE_INITIALISED:
        case LVIF_STATE_CONNECTED:
            return;
        case LVIF_STATE_INITIALISING:
        case LVIF_STATE_CLOSING:
        case LVIF_STATE_CLOSED:
            want(LVIF_STATE_CLOSED, "");
            start_letting_go(now);
            return;
        default:
            breach("frontend state out of turn", now);
    }
}

void Guest::introduce() {
    if (introduced_)
        return;
    auto& hypervisor = around_.hypervisor;
    touched_ = true;
    hypervisor.permit(backend_, hypervisor.self(), domain_);
    hypervisor.write(backend_ + "/" LVIF_KEY_FRONTEND, frontend_);
    hypervisor.write(backend_ + "/" LVIF_KEY_FRONTEND_ID, std::to_string(domain_.value));
    hypervisor.write(backend_ + "/" + key_name, name_);
    hypervisor.write(frontend_ + "/" LVIF_KEY_BACKEND_ID, std::to_string(hypervisor.self().value));
    hypervisor.write(frontend_ + "/" LVIF_KEY_BACKEND, backend_);
    introduced_ = true;
}

void Guest::make_offer(TimePoint now) {
    auto refusal = std::string();
    if (!counted_ && around_.attached >= around_.config.limits.guests)
        refusal = "limits.guests = " + std::to_string(around_.config.limits.guests) + " guests are attached";
    else
        refusal = choose_address();
    introduce();
    if (!refusal.empty()) {
        if (reason_ != refusal && around_.log.allow(now))
            spdlog::warn("guest '{}' (domain {}) refused: {}", name_, domain_.value, refusal);
        phase_ = Phase::detached;
        count_attached(false);
        want(LVIF_STATE_CLOSED, refusal);
        state_wake_ = std::min(state_wake_, now + retry_refused);
        return;
    }
    admit_to_ports();
    write_offer(around_.hypervisor, backend_, offer_);
    if (limits_set_)
        write_limits(around_.hypervisor, backend_, limits_);
    want(LVIF_STATE_INIT_WAIT, "");
    publish();
    phase_ = Phase::waiting;
    count_attached(true);
}

void Guest::connect(TimePoint now) {
    auto const failed = open({offer_.max_queues, offer_.max_ring_bytes}, now);
    if (!failed.empty()) {
        breach(failed, now);
        return;
    }
    want(LVIF_STATE_CONNECTED, "");
    if (around_.log.allow(now))
        spdlog::info("guest '{}' (domain {}) connected: {}, {} queue pair(s) of {} KiB", name_, domain_.value,
                     offer_.mode == GuestMode::dedicated ? "dedicated" : "shared", rings_->queues.size(),
                     rings_->capacity / 1024);
}

void Guest::breach(std::string const& reason, TimePoint now) {
    ++around_.breaches;
    if (phase_ == Phase::connected && now - attached_at_ > good_conduct)
        breaches_ = 0;
    offer_not_before_ = now + back_off(breaches_++);
    detach(reason, now, false);
}

void Guest::broken(char const* reason, TimePoint now) {
    if (phase_ == Phase::connected)
        breach(reason, now);
}

void Guest::detach(std::string const& reason, TimePoint now, bool hold) {
    if (around_.log.allow(now)) {
        auto const unlogged = around_.log.take_suppressed();
        spdlog::warn("guest '{}' (domain {}) detached: {}{}", name_, domain_.value, reason,
                     unlogged == 0 ? "" : " (" + std::to_string(unlogged) + " more such lines were not logged)");
    }
    held_ = held_ || hold;
    want(LVIF_STATE_CLOSING, reason);
    if (phase_ == Phase::connected) {
        say_detached(reason);
        start_letting_go(now);
    } else if (phase_ == Phase::waiting) {
        phase_ = Phase::detached;
        count_attached(false);
    }
    introduce();
    publish();
}

void Guest::attach(TimePoint now) {
    held_ = false;
    offer_not_before_ = now;
    if (introduced_)
        count_attach(around_.hypervisor, backend_);
    if (phase_ != Phase::detached && phase_ != Phase::letting_go && !assignment_is_current())
        detach("attached anew, with another address", now, false);
    refresh(now, Why::own_time);
}

void Guest::start_letting_go(TimePoint now) {
    phase_ = Phase::letting_go;
    around_.data_plane.remove_guest(*slot_);
    switch_.guest_gone(now);
    after_switch(now);
}

void Guest::let_go(TimePoint now) {
    stop_listening();
    rings_.reset();
    slot_.reset();
    ++generation_;
    if (offer_.mode == GuestMode::dedicated)
        around_.holder.remove_mac(offer_.mac);
    phase_ = Phase::detached;
    count_attached(false);
    refresh(now, Why::own_time);
}

void Guest::die(TimePoint now) {
    gone_ = true;
    if (phase_ == Phase::connected)
        start_letting_go(now);
    else if (phase_ != Phase::letting_go && switch_.at_rings())
        forget();
}

void Guest::forget() {
    if (touched_)
        around_.hypervisor.remove(backend_root(around_.hypervisor.self(), domain_));
    finished_ = true;
}

void Guest::want(lvif_state state, std::string reason) {
    if (desired_ == state && reason_ == reason)
        return;
    desired_ = state;
    published_ = LVIF_STATE_UNKNOWN;
    reason_ = printable(reason, 200);
}

void Guest::publish() {
    if (!introduced_)
        return;
    auto& hypervisor = around_.hypervisor;
    if (held_ != held_written_) {
        if (held_)
            hypervisor.write(backend_ + "/" + key_held, "1");
        else
            hypervisor.remove(backend_ + "/" + key_held);
        held_written_ = held_;
    }
    if (desired_ == LVIF_STATE_UNKNOWN || desired_ == published_)
        return;
    if (reason_.empty())
        hypervisor.remove(backend_ + "/" LVIF_KEY_DETACH_REASON);
    else
        hypervisor.write(backend_ + "/" LVIF_KEY_DETACH_REASON, reason_.substr(0, guest_reason_bytes));
    hypervisor.write(backend_ + "/" LVIF_KEY_STATE, std::to_string(static_cast<int>(desired_)));
    published_ = desired_;
}

void Guest::set_limits(GuestLimits const& limits) {
    auto& hypervisor = around_.hypervisor;
    if (around_.ports != nullptr)
        around_.ports->add_domain(domain_, name_);
    hypervisor.set_port_limit(domain_, limits.most_ports());
    try {
        if (introduced_)
            write_limits(hypervisor, backend_, limits);
    } catch (std::system_error const&) {
        hypervisor.set_port_limit(domain_, limits_.most_ports());
        throw;
    }
    limits_ = limits;
    limits_set_ = true;
    if (slot_)
        around_.data_plane.set_limit(*slot_, {limits.frames_per_s, limits.bits_per_s});
}

void Guest::handle_time(TimePoint now) {
    if (now >= state_wake_) {
        state_wake_ = TimePoint::max();
        refresh(now, Why::own_time);
    }
    if (now >= channel_wake_) {
        channel_wake_ = TimePoint::max();
        handle_control(now);
    }
    if (now >= switch_.wake_at()) {
        switch_.tick(now);
        after_switch(now);
    }
}

void Guest::postpone(TimePoint now) {
    auto const again = now + back_off(failures_++);
    state_wake_ = std::min(state_wake_, again);
    channel_wake_ = std::min(channel_wake_, again);
}

void Guest::count_attached(bool attached) {
    if (counted_ == attached)
        return;
    counted_ = attached;
    around_.attached += attached ? 1U : std::size_t(-1);
}

}  // namespace librettos::control
