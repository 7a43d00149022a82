// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/rump/ixv_double.hpp"

#include <utility>

#include "guest-frontend/rump/ixv/hypercalls.h"

namespace librettos::test {

namespace {

constexpr std::size_t much_room = 512;
constexpr int netbsd_eagain = 35;
constexpr std::uint32_t link_up = 1u << 30;

void require_scheduled(char const* what) {
    if (!KernelDouble::is_scheduled()) {
        KernelDouble::instance().broke(std::string(what) + " while unscheduled");
    }
}

}  // namespace

IxvDouble& IxvDouble::instance() {
    static IxvDouble driver;
    return driver;
}

void IxvDouble::reset() {
    std::lock_guard const lock(mutex_);
    set(status, 0);
    set(links, link_up);
    set(head, 0);
    set(tail, 0);
    start_error_ = 0;
    room_ = much_room;
    hangs_ = up_ = false;
    sent_count_ = looks_at_groups_ = 0;
    sent_.clear();
}

void IxvDouble::set_link(bool up) {
    set(links, up ? link_up : 0);
}

void IxvDouble::unplug() {
    for (Register const each : {status, links, head, tail}) {
        set(each, ~0u);
    }
}

void IxvDouble::set_start_error(int error) {
    std::lock_guard const lock(mutex_);
    start_error_ = error;
}

void IxvDouble::set_room(std::size_t frames) {
    std::lock_guard const lock(mutex_);
    room_ = frames;
}

void IxvDouble::hang() {
    std::lock_guard const lock(mutex_);
    hangs_ = true;
}

std::vector<Frame> IxvDouble::take() {
    std::lock_guard const lock(mutex_);
    return std::exchange(sent_, {});
}

bool IxvDouble::is_up() {
    std::lock_guard const lock(mutex_);
    return up_;
}

unsigned IxvDouble::looks_at_groups() {
    std::lock_guard const lock(mutex_);
    return looks_at_groups_;
}

int IxvDouble::up() {
    require_scheduled("up()");
    std::lock_guard const lock(mutex_);
    up_ = start_error_ == 0;
    return start_error_;
}

void IxvDouble::down() {
    require_scheduled("down()");
    std::lock_guard const lock(mutex_);
    if (!std::exchange(up_, false)) {
        KernelDouble::instance().broke("down() of a VF that is not up");
    }
}

int IxvDouble::send(Frame frame) {
    require_scheduled("send()");
    std::lock_guard const lock(mutex_);
    if (!up_) {
        KernelDouble::instance().broke("send() by a VF that is not up");
    }
    if (sent_.size() >= room_) {
        return netbsd_eagain;
    }
    set(tail, ++sent_count_);
    if (!hangs_) {
        set(head, sent_count_);
    }
    sent_.push_back(std::move(frame));
    return 0;
}

// What nobody takes is in the driver's own queue as soon as that has no more room.
unsigned IxvDouble::waiting() {
    require_scheduled("waiting()");
    std::lock_guard const lock(mutex_);
    return sent_.size() >= room_ ? 1 : 0;
}

void IxvDouble::join_groups() {
    require_scheduled("join_groups()");
    std::lock_guard const lock(mutex_);
    ++looks_at_groups_;
}

void receive_by_ixv(std::function<void(iovec const*, unsigned)> const& received, Frame const& frame, unsigned cuts) {
    InKernel const in_kernel;
    std::vector<iovec> parts;
    std::size_t const step = frame.size() / cuts;
    for (unsigned i = 0; i < cuts; ++i) {
        std::size_t const from = i * step;
        parts.push_back({const_cast<std::uint8_t*>(frame.data()) + from, i + 1 == cuts ? frame.size() - from : step});
    }
    received(parts.data(), cuts);
}

}  // namespace librettos::test

using librettos::test::IxvDouble;

int rump_librettos_ixv_up() {
    return IxvDouble::instance().up();
}

void rump_librettos_ixv_down() {
    IxvDouble::instance().down();
}

int rump_librettos_ixv_send(void const* frame, unsigned length) {
    auto const* const bytes = static_cast<std::uint8_t const*>(frame);
    return IxvDouble::instance().send({bytes, bytes + length});
}

unsigned rump_librettos_ixv_waiting() {
    return IxvDouble::instance().waiting();
}

void rump_librettos_ixv_join_groups() {
    IxvDouble::instance().join_groups();
}
