// SPDX-License-Identifier: BSD-2-Clause
// The receive thread, and what the switch changes about it; frame_link_send.cpp has the other direction.
#include "guest-frontend/process/frame_link.hpp"

#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

namespace librettos::guest {

namespace {

constexpr int burst = 64;
constexpr int ask_again_ms = 1;

}  // namespace

FrameLink::FrameLink(lvif_device* device, EventSource& events, Stack& stack, int attention, std::uint32_t poll_us,
                     Vf* vf)
    : device_(device),
      events_(events),
      stack_(stack),
      attention_(attention),
      vf_(vf),
      wake_(checked_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd")),
      look_out_(poll_us),
      thread_([this] { run(); }) {
}

FrameLink::~FrameLink() {
    stop_.store(true, std::memory_order_relaxed);
    wake();
    thread_.join();
}

std::unique_lock<std::mutex> FrameLink::between_turns() {
    callers_.fetch_add(1, std::memory_order_relaxed);
    std::unique_lock lock(rx_);
    callers_.fetch_sub(1, std::memory_order_relaxed);
    return lock;
}

void FrameLink::wake() {
    eventfd_write(wake_.get(), 1);
}

void FrameLink::connect() {
    {
        std::lock_guard const lock(tx_);
        wanted_ = 0;
        tx_connected_ = true;
    }
    {
        auto const lock = between_turns();
        event_port_ = lvif_queue_event(device_, 0);
        event_fd_ = events_.event_fd(event_port_);
        rx_connected_ = true;
    }
    wake();
}

void FrameLink::quiesce() noexcept {
    {
        auto const lock = between_turns();
        rx_connected_ = false;
    }
    {
        std::lock_guard const lock(tx_);
        lose_rings();
    }
    wake();
}

void FrameLink::run() {
    stack_.receiver_starts();
    std::array<pollfd, 3> watched{pollfd{wake_.get(), POLLIN, 0}, pollfd{-1, POLLIN, 0}, pollfd{-1, POLLIN, 0}};
    while (!stop_.load(std::memory_order_relaxed)) {
        Next next = Next::again;
        bool asks = false;
        while (callers_.load(std::memory_order_relaxed) != 0) {
            sched_yield();
        }
        {
            std::lock_guard const lock(rx_);
            if (rx_connected_ && watched[1].fd == event_fd_ && watched[1].revents != 0) {
                events_.event_clear(event_port_);
            }
            next = turn();
            watched[1].fd = rx_connected_ ? event_fd_ : -1;
            watched[2].fd = watches_vf() ? vf_->event_fd() : -1;
            asks = (reads_vf_ && watched[2].fd < 0) || ask_vf_for_room_.load(std::memory_order_relaxed);
        }
        watched[1].revents = 0;
        if (next == Next::look_on) {
            sched_yield();
        }
        if (next != Next::sleep) {
            continue;
        }
        poll(watched.data(), watched.size(), asks ? ask_again_ms : -1);
        if (watched[0].revents != 0) {
            eventfd_t ignored = 0;
            eventfd_read(wake_.get(), &ignored);
        }
    }
    stack_.receiver_ends();
}

FrameLink::Next FrameLink::turn() {
    moved_ = false;
    more_to_gather_ = false;
    if (rx_connected_) {
        lvif_rx_wake(device_, 0);
    }
    if (rx_connected_ && reads_vf_ && !lets_in() && lvif_rx_marked(device_, 0)) {
        let_in_after_ring_ = true;
    }
    bool more_of_vf = reads_vf_ && take_from_vf();
    bool more_of_ring = false;
    if (!more_of_vf || !vf_first_) {
        more_of_ring = rx_connected_ && take_from_ring();
        if (!more_of_ring && std::exchange(let_in_after_ring_, false)) {
            vf_let_in_.store(true, std::memory_order_relaxed);
            more_of_vf = true;
        }
    }
    give_room();
    if (moved_) {
        look_out_.worked();
    }
    if (more_of_vf || more_of_ring || more_to_gather_) {
        return Next::again;
    }
    if (look_out_.again()) {
        return Next::look_on;
    }
    return may_sleep() ? Next::sleep : Next::again;
}

bool FrameLink::may_sleep() {
    if (rx_connected_ && !lvif_rx_sleep(device_, 0)) {
        return false;
    }
    if (watches_vf()) {
        vf_armed_ = true;
        return vf_->arm();
    }
    return true;
}

// Otherwise it is asked.
bool FrameLink::watches_vf() const {
    return reads_vf_ && (vf_let_in_.load(std::memory_order_relaxed) || !holds_frames_of_vf());
}

// Returns whether the burst was full, so that there may be more.
bool FrameLink::take_from_vf() {
    if (vf_armed_) {
        vf_->disarm();
        vf_armed_ = false;
    }
    bool const more = vf_->gather();
    if (!vf_let_in_.load(std::memory_order_relaxed)) {
        lvif_frame frame{};
        if (vf_->front(frame) && !vf_waits_.exchange(true, std::memory_order_relaxed)) {
            eventfd_write(attention_, 1);
        }
        more_to_gather_ = more;
        return false;
    }
    int done = 0;
    deliver([this](lvif_frame& frame) { return vf_->front(frame) ? 1 : 0; }, [this] { vf_->release(); }, done);
    (done > 0 ? vf_frame_ : vf_empty_) = Clock::now();
    return done == burst;
}

// The same of the ring.
bool FrameLink::take_from_ring() {
    int done = 0;
    int const result = deliver([this](lvif_frame& frame) { return lvif_rx_peek(device_, 0, &frame); },
                               [this] { lvif_rx_release(device_, 0); }, done);
    if (done > 0) {
        lvif_rx_publish(device_, 0);
    }
    if (result < 0) {
        disconnect_on(result);
    }
    return done == burst;
}

template <typename Peek, typename Release>
int FrameLink::deliver(Peek&& peek, Release&& release, int& done) {
    lvif_frame frame{};
    int result = peek(frame);
    if (result != 1) {
        return result;
    }
    bursting_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    stack_.burst_begins();
    for (; done < burst && result == 1; ++done) {
        stack_.deliver(frame);
        release();
        result = done + 1 < burst ? peek(frame) : 0;
    }
    stack_.burst_ends();
    bursting_.store({}, std::memory_order_relaxed);
    moved_ = true;
    std::lock_guard const lock(tx_);
    publish();
    return result;
}

void FrameLink::give_room() {
    if (!wants_room_.load(std::memory_order_relaxed)) {
        return;
    }
    {
        std::lock_guard const lock(tx_);
        send_held();
        bool const all_left = !ask_vf_for_room_.load(std::memory_order_relaxed) || publish();
        if (all_left && wanted_ == 0 && held_.empty()) {
            ask_vf_for_room_.store(false, std::memory_order_relaxed);
            wants_room_.store(false, std::memory_order_relaxed);
        }
        if (wanted_ == 0 || !has_room(wanted_)) {
            return;
        }
        wanted_ = 0;
        room_.notify_all();
    }
    bursting_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    stack_.room();
    bursting_.store({}, std::memory_order_relaxed);
    std::lock_guard const lock(tx_);
    publish();
}

// Until the control thread has connected again; a broken ring it has to be told of.
void FrameLink::disconnect_on(int error) {
    rx_connected_ = false;
    if (error != LVIF_ENOTCONN) {
        eventfd_write(attention_, 1);
    }
}

void FrameLink::use_vf() {
    {
        std::lock_guard const lock(tx_);
        writes_vf_ = true;
    }
    vf_waits_.store(false, std::memory_order_relaxed);
    {
        auto const lock = between_turns();
        reads_vf_ = true;
        let_in_after_ring_ = false;
        vf_let_in_.store(false, std::memory_order_relaxed);
    }
    wake();
}

void FrameLink::let_in() {
    {
        auto const lock = between_turns();
        let_in_after_ring_ = false;
        vf_let_in_.store(true, std::memory_order_relaxed);
    }
    wake();
}

void FrameLink::let_in_after_rings() {
    {
        auto const lock = between_turns();
        let_in_after_ring_ = true;
    }
    wake();
}

// The thread sleeps on the VF's event: it is made to look.
void FrameLink::take_last(std::chrono::milliseconds quiet, std::chrono::milliseconds longest) {
    auto const began = Clock::now();
    while (Clock::now() < began + longest) {
        wake();
        {
            auto const lock = between_turns();
            if (vf_empty_ - std::max(vf_frame_, began) >= quiet) {
                return;
            }
        }
        std::this_thread::sleep_for(quiet / 10);
    }
}

void FrameLink::leave_vf() {
    {
        auto const lock = between_turns();
        if (vf_armed_) {
            vf_->disarm();
            vf_armed_ = false;
        }
        reads_vf_ = false;
    }
    {
        std::lock_guard const lock(tx_);
        writes_vf_ = false;
        ask_vf_for_room_.store(false, std::memory_order_relaxed);
    }
    wake();
}

bool FrameLink::server_took_all() {
    std::lock_guard const lock(tx_);
    return !tx_connected_ || lvif_tx_idle(device_, 0);
}

bool FrameLink::server_alive() {
    return lvif_server_alive(device_);
}

void FrameLink::send_by(SendBy way) {
    {
        auto const lock = between_turns();
        vf_first_ = way != SendBy::vf;
    }
    {
        std::lock_guard const lock(tx_);
        publish();
        send_by_ = way;
        send_held();
    }
    wake();
}

}  // namespace librettos::guest
