// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/process/frame_link.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <array>

namespace librettos::guest {

namespace {

constexpr int burst = 64;

}  // namespace

FrameLink::FrameLink(lvif_device* device, EventSource& events, Stack& stack, int attention)
    : device_(device),
      events_(events),
      stack_(stack),
      attention_(attention),
      wake_(checked_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd")),
      thread_([this] { run(); }) {
}

FrameLink::~FrameLink() {
    stop_.store(true, std::memory_order_relaxed);
    eventfd_write(wake_.get(), 1);
    thread_.join();
}

void FrameLink::connect() {
    {
        std::lock_guard const lock(tx_);
        wanted_ = 0;
        tx_connected_ = true;
    }
    {
        std::lock_guard const lock(rx_);
        event_port_ = lvif_queue_event(device_, 0);
        event_fd_ = events_.event_fd(event_port_);
        rx_connected_ = true;
    }
    eventfd_write(wake_.get(), 1);
}

void FrameLink::quiesce() noexcept {
    {
        std::lock_guard const lock(rx_);
        rx_connected_ = false;
    }
    {
        std::lock_guard const lock(tx_);
        tx_connected_ = false;
        room_.notify_all();
    }
    eventfd_write(wake_.get(), 1);
}

bool FrameLink::wait_for_room(std::chrono::milliseconds longest) {
    std::unique_lock lock(tx_);
    return room_.wait_for(lock, longest, [this] { return !tx_connected_ || wanted_ == 0; }) && tx_connected_;
}

void FrameLink::run() {
    stack_.receiver_starts();
    std::array<pollfd, 2> watched{pollfd{wake_.get(), POLLIN, 0}, pollfd{-1, POLLIN, 0}};
    while (!stop_.load(std::memory_order_relaxed)) {
        Next next = Next::disconnected;
        {
            std::lock_guard const lock(rx_);
            if (rx_connected_) {
                if (watched[1].fd == event_fd_ && watched[1].revents != 0) {
                    events_.event_clear(event_port_);
                }
                next = turn();
            }
            watched[1].fd = next == Next::disconnected ? -1 : event_fd_;
        }
        watched[1].revents = 0;
        if (next == Next::again) {
            continue;
        }
        poll(watched.data(), watched.size(), -1);
        if (watched[0].revents != 0) {
            eventfd_t ignored = 0;
            eventfd_read(wake_.get(), &ignored);
        }
    }
    stack_.receiver_ends();
}

FrameLink::Next FrameLink::turn() {
    lvif_rx_wake(device_, 0);
    bool const more = deliver_burst();
    give_room();
    if (!rx_connected_) {
        return Next::disconnected;
    }
    return more || !lvif_rx_sleep(device_, 0) ? Next::again : Next::sleep;
}

// Returns whether the burst was full, so that there may be more.
bool FrameLink::deliver_burst() {
    lvif_frame frame{};
    int result = lvif_rx_peek(device_, 0, &frame);
    int done = 0;
    if (result == 1) {
        bursting_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        stack_.burst_begins();
        for (; done < burst && result == 1; ++done) {
            stack_.deliver(frame);
            lvif_rx_release(device_, 0);
            result = done + 1 < burst ? lvif_rx_peek(device_, 0, &frame) : 0;
        }
        stack_.burst_ends();
        bursting_.store({}, std::memory_order_relaxed);
        lvif_rx_publish(device_, 0);
        std::lock_guard const lock(tx_);
        if (tx_connected_) {
            lvif_tx_publish(device_, 0);
        }
    }
    if (result < 0) {
        disconnect_on(result);
    }
    return done == burst;
}

void FrameLink::give_room() {
    {
        std::lock_guard const lock(tx_);
        if (!tx_connected_ || wanted_ == 0 || !lvif_tx_wait(device_, 0, wanted_)) {
            return;
        }
        wanted_ = 0;
        room_.notify_all();
    }
    bursting_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    stack_.room();
    bursting_.store({}, std::memory_order_relaxed);
    std::lock_guard const lock(tx_);
    if (tx_connected_) {
        lvif_tx_publish(device_, 0);
    }
}

// Until the control thread has connected again; a broken ring it has to be told of.
void FrameLink::disconnect_on(int error) {
    rx_connected_ = false;
    if (error != LVIF_ENOTCONN) {
        eventfd_write(attention_, 1);
    }
}

int FrameLink::reserve(std::uint32_t length, std::uint8_t*& frame) {
    if (!tx_connected_) {
        return LVIF_ENOTCONN;
    }
    int result = lvif_tx_reserve(device_, 0, length, &frame);
    if (result == LVIF_EAGAIN) {
        if (lvif_tx_wait(device_, 0, length)) {
            result = lvif_tx_reserve(device_, 0, length, &frame);
        } else {
            wanted_ = length;
        }
    }
    if (result == LVIF_EPROTO || result == LVIF_ENOTCONN) {
        tx_connected_ = false;
        room_.notify_all();
        eventfd_write(attention_, 1);
        return LVIF_ENOTCONN;
    }
    return result;
}

void FrameLink::commit(std::uint32_t length) {
    lvif_tx_commit(device_, 0, length, nullptr);
    if (bursting_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
        return;
    }
    lvif_tx_publish(device_, 0);
    // A shorter frame than the one that was refused took the waiting back.
    if (wanted_ != 0 && lvif_tx_wait(device_, 0, wanted_)) {
        eventfd_write(wake_.get(), 1);
    }
}

}  // namespace librettos::guest
