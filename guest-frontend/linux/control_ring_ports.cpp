// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/control_ring_ports.hpp"

#include <sys/eventfd.h>

#include <cerrno>

namespace librettos::guest {

ControlRingPorts::ControlRingPorts(std::chrono::milliseconds longest_wait)
    : longest_wait_(longest_wait),
      wake_(checked_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd")) {
}

int ControlRingPorts::bind(Protocol protocol, std::uint16_t port) {
    return call({LVIF_MSG_PORT_BIND, static_cast<std::uint8_t>(protocol), port, 1}, nullptr);
}

int ControlRingPorts::bind_any(Protocol protocol, std::uint16_t& port) {
    return call({LVIF_MSG_PORT_BIND, static_cast<std::uint8_t>(protocol), 0, 1}, &port);
}

int ControlRingPorts::release(Protocol protocol, std::uint16_t port) {
    return call({LVIF_MSG_PORT_RELEASE, static_cast<std::uint8_t>(protocol), port, 1}, nullptr);
}

int ControlRingPorts::lease(std::uint16_t count, std::uint16_t& first) {
    return call({LVIF_MSG_PORT_LEASE, LVIF_PORT_TCP_AND_UDP, 0, count}, &first);
}

int ControlRingPorts::release_all() {
    return call({LVIF_MSG_PORT_RELEASE, LVIF_PORT_TCP_AND_UDP, 0, 0}, nullptr);
}

int ControlRingPorts::call(Request const& request, std::uint16_t* port) {
    std::unique_lock lock(mutex_);
    if (closed_) {
        return -ECONNRESET;
    }
    request_ = request;
    ticket_ = 0;
    done_ = false;
    waiting_ = true;
    eventfd_write(wake_.get(), 1);
    answered_.wait_for(lock, longest_wait_, [this] { return done_ || closed_; });
    waiting_ = false;
    if (!done_) {
        if (ticket_ != 0) {
            late_.emplace(ticket_, request_);
        }
        return closed_ ? -ECONNRESET : -ETIMEDOUT;
    }
    if (answer_.status == 0 && port != nullptr) {
        *port = answer_.port;
    }
    return answer_.status;
}

void ControlRingPorts::clear() {
    eventfd_t ignored = 0;
    eventfd_read(wake_.get(), &ignored);
}

void ControlRingPorts::close() {
    std::lock_guard const lock(mutex_);
    closed_ = true;
    answered_.notify_all();
}

bool ControlRingPorts::send(lvif_device* device, Request const& request, std::uint32_t& ticket) {
    return lvif_port_request(device, request.operation, request.protocol, request.port, request.count, &ticket) == 0;
}

void ControlRingPorts::pump(lvif_device* device) {
    std::lock_guard const lock(mutex_);
    take(device);
    give_back(device);
    if (waiting_ && !done_ && ticket_ == 0) {
        send(device, request_, ticket_);
    }
}

void ControlRingPorts::take(lvif_device* device) {
    lvif_port_answer answer{};
    while (lvif_port_take_answer(device, &answer) == 1) {
        if (waiting_ && answer.ticket == ticket_) {
            ticket_ = 0;
            if (answer.status != LVIF_ENOTCONN) {  // else: once more, on the next connection
                answer_ = answer;
                done_ = true;
                answered_.notify_all();
            }
        } else if (auto const late = late_.extract(answer.ticket); late && answer.status == 0) {
            Request const& granted = late.mapped();
            if (granted.operation != LVIF_MSG_PORT_RELEASE) {
                unwanted_.emplace(answer.ticket,
                                  Request{LVIF_MSG_PORT_RELEASE, granted.protocol, answer.port, answer.count});
            }
        }
    }
}

void ControlRingPorts::give_back(lvif_device* device) {
    for (auto at = unwanted_.begin(); at != unwanted_.end();) {
        std::uint32_t ticket = 0;
        if (!send(device, at->second, ticket)) {
            return;
        }
        at = unwanted_.erase(at);
    }
}

}  // namespace librettos::guest
