// SPDX-License-Identifier: BSD-2-Clause
// A guest's connection: mapping its rings, handing it to the data plane, its control messages.
#include <librettos/frame_ring.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/engine/control/guest.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

constexpr unsigned messages_per_turn = 32;
constexpr auto pause_after_full_turn = std::chrono::milliseconds(10);
constexpr auto pause_for_room = std::chrono::milliseconds(50);

bool is_port_operation(std::uint16_t type) {
    return type == LVIF_MSG_PORT_BIND || type == LVIF_MSG_PORT_LEASE || type == LVIF_MSG_PORT_RELEASE;
}

lvif_message message_of(lvif_message_type type) {
    lvif_message message;
    std::memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

}  // namespace

// Nothing of it stays when it fails, whether by the guest's fault (a reason) or the hypervisor's loss (an exception).
std::string Guest::open(RequestBounds const& bounds, TimePoint now) try {
    auto request = read_guest_request(around_.hypervisor, frontend_, bounds);
    if (auto const* const refusal = std::get_if<Refusal>(&request))
        return refusal->reason;
    auto opened = open_rings(around_.hypervisor, domain_, std::get<GuestRequest>(request), offer_.features);
    if (auto const* const refusal = std::get_if<Refusal>(&opened))
        return refusal->reason;
    auto& rings = std::get<std::unique_ptr<GuestRings>>(opened);
    admit_to_ports();

    GuestAttachment attachment;
    attachment.identity = {domain_, offer_.mode, offer_.mac, offer_.ipv4, offer_.ipv6};
    attachment.name = name_;
    attachment.features = rings->features;
    attachment.queues = rings->queue_pairs();
    attachment.limit = {limits_.frames_per_s, limits_.bits_per_s};
    slot_ = around_.data_plane.add_guest(attachment);
    rings_ = std::move(rings);
    phase_ = Phase::connected;
    attached_at_ = now;
    greeted_ = false;
    switch_.connected(*rings_, *slot_, offer_.mac);
    link_owed_ = mtu_owed_ = true;
    if (offer_.mode == GuestMode::dedicated)
        around_.holder.add_mac(offer_.mac);
    listen();
    return "";
} catch (std::system_error const& error) {
    if (hypervisor_lost(error))
        throw;
    return error.what();
}

void Guest::admit_to_ports() {
    if (around_.ports != nullptr)
        around_.ports->add_domain(domain_, name_);
    try {
        around_.hypervisor.set_port_limit(domain_, limits_.most_ports());
    } catch (std::system_error const& error) {
        if (error.code() != std::errc::operation_not_permitted)
            throw;  // else this is a driver domain, and limits are the control domain's to set
    }
}

void Guest::serving() {
    if (rings_)
        rings_->notify_all();
}

void Guest::listen() {
    rings_->control->arm();
    epoll_event event{};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = domain_.value | std::uint64_t{generation_} << 16;
    if (epoll_ctl(around_.channels_epoll, EPOLL_CTL_ADD, rings_->control_event->fd(), &event) == 0)
        listening_ = true;
    channel_wake_ = attached_at_;  // messages may have come before: look once; also tells link and MTU
}

void Guest::stop_listening() {
    if (listening_)
        epoll_ctl(around_.channels_epoll, EPOLL_CTL_DEL, rings_->control_event->fd(), nullptr);
    listening_ = false;
}

void Guest::rearm() {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = domain_.value | std::uint64_t{generation_} << 16;
    if (listening_)
        epoll_ctl(around_.channels_epoll, EPOLL_CTL_MOD, rings_->control_event->fd(), &event);
}

// One turn: a bounded number of messages. A guest that rings more often than its budget allows stays masked until the
// next token. A message is taken only when there is room for its reply, and given back only when the reply is visible:
// what a server that dies did not answer, the next one finds.
void Guest::handle_control(TimePoint now) {
    if (phase_ != Phase::connected)
        return;
    if (!channel_budget_.take(now)) {
        channel_wake_ = std::min(channel_wake_, channel_budget_.next(now));
        return;
    }
    auto& control = *rings_->control;
    rings_->control_event->clear();
    bool more = true;
    bool room = true;
    TimePoint port_wake = now;
    for (unsigned n = 0; n < messages_per_turn && more; ++n) {
        port_wake = port_budget_.next(now);
        room = control.has_room();
        lvif_message message;
        more = room && port_wake <= now && control.take(message) == ControlRing::Take::message;
        if (more)
            answer(message, now);
    }
    after_switch(now);
    tell_state();
    bool wake_guest = control.publish();
    wake_guest |= control.release();
    if (control.broken()) {
        breach("control ring: impossible positions", now);
        return;
    }
    if (wake_guest)
        rings_->control_event->notify();
    if (port_wake > now)
        channel_wake_ = std::min(channel_wake_, port_wake);
    else if (!room || link_owed_ || mtu_owed_)
        channel_wake_ = std::min(channel_wake_, now + pause_for_room);
    else if (more || !control.arm() || !listening_)
        channel_wake_ = std::min(channel_wake_, now + pause_after_full_turn);
    rearm();
    if (program_owed_) {
        around_.hypervisor.write(backend_ + "/program", program_);
        program_owed_ = false;
    }
}

void Guest::answer(lvif_message const& message, TimePoint now) {
    if (message.type == LVIF_MSG_HELLO) {
        link_owed_ = mtu_owed_ = true;
        if (!greeted_) {
            greeted_ = true;
            auto const& name = message.u.hello.program;
            program_ = printable({name, strnlen(name, sizeof message.u.hello.program)}, sizeof name);
            program_owed_ = true;
        }
        switch_.greeted(message.u.hello.flags, now);
    } else if (message.type == LVIF_MSG_REPLY) {
        switch_.guest_answered(message, now);
    } else if (message.type == LVIF_MSG_VF_LOST) {
        switch_.guest_lost_vf(now);
    }
    if (message.type == LVIF_MSG_REPLY || (message.flags & LVIF_MSG_WANTS_REPLY) == 0)
        return;
    auto reply = message_of(LVIF_MSG_REPLY);
    reply.id = message.id;
    reply.status = -EOPNOTSUPP;
    if (message.type == LVIF_MSG_HELLO) {
        reply.status = 0;
        reply.u.hello.version = LVIF_CONTROL_VERSION;
    } else if (is_port_operation(message.type) && around_.ports != nullptr) {
        (void)port_budget_.take(now);
        answer_ports(message, reply);
        around_.ports_wake = now;
    }
    (void)rings_->control->put(reply);  // has_room(), unless the guest has broken the ring since
}

// A dedicated guest has all ports of its address; the shared ones are not its business.
void Guest::answer_ports(lvif_message const& message, lvif_message& reply) {
    auto const wanted = message.u.port;
    auto& ports = *around_.ports;
    std::uint16_t port = wanted.port;
    if (offer_.mode == GuestMode::dedicated)
        reply.status = -EOPNOTSUPP;
    else if (message.type == LVIF_MSG_PORT_BIND)
        reply.status = ports.bind(domain_, wanted.protocol, wanted.port, port);
    else if (message.type == LVIF_MSG_PORT_LEASE)
        reply.status = ports.lease(domain_, wanted.protocol, wanted.count, port);
    else
        reply.status = ports.release(domain_, wanted.protocol, wanted.port, wanted.count);
    if (reply.status == 0)
        reply.u.port = {wanted.protocol, 0, port, message.type == LVIF_MSG_PORT_BIND ? std::uint16_t{1} : wanted.count};
}

// Link and MTU are states: what does not fit now is told later, as it is then.
void Guest::tell_state() {
    auto& control = *rings_->control;
    if (link_owed_) {
        auto message = message_of(LVIF_MSG_LINK);
        message.u.link.up = around_.link.up ? 1 : 0;
        message.u.link.speed_mbps = around_.link.speed_mbps;
        link_owed_ = !control.put(message);
    }
    if (mtu_owed_) {
        auto message = message_of(LVIF_MSG_MTU);
        message.u.mtu.mtu_bytes = around_.network.mtu_bytes;
        mtu_owed_ = !control.put(message);
    }
}

void Guest::link_changed(TimePoint now) {
    if (phase_ != Phase::connected)
        return;
    link_owed_ = true;
    channel_wake_ = now;
}

void Guest::say_detached(std::string const& reason) {
    auto message = message_of(LVIF_MSG_DETACHED);
    reason.copy(message.u.detached.reason, sizeof message.u.detached.reason - 1);
    rings_->control->put(message);
    rings_->control->publish();
    rings_->control_event->notify();
}

}  // namespace librettos::control
