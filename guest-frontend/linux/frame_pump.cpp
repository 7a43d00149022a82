// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/frame_pump.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/virtio_header.hpp"

namespace librettos::guest {

namespace {

constexpr int burst = 64;

Descriptor new_event() {
    return checked_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd");
}

void count(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // one writer
}

}  // namespace

QueuePump::QueuePump(lvif_device* device, EventSource& events, std::uint16_t queue, int tap_fd, int attention,
                     std::uint32_t poll_us)
    : device_(device),
      events_(events),
      queue_(queue),
      tap_fd_(tap_fd),
      attention_(attention),
      wake_(new_event()),
      look_out_(poll_us),
      thread_([this] { run(); }) {
}

QueuePump::~QueuePump() {
    stop_.store(true, std::memory_order_relaxed);
    eventfd_write(wake_.get(), 1);
    thread_.join();
}

std::unique_lock<std::mutex> QueuePump::between_turns() {
    callers_.fetch_add(1, std::memory_order_relaxed);
    std::unique_lock lock(turn_);
    callers_.fetch_sub(1, std::memory_order_relaxed);
    return lock;
}

void QueuePump::connect() {
    {
        auto const lock = between_turns();
        event_port_ = lvif_queue_event(device_, queue_);
        event_fd_ = events_.event_fd(event_port_);
        tx_full_ = false;
        rest_bytes_ = 0;
        connected_ = true;
    }
    eventfd_write(wake_.get(), 1);
}

void QueuePump::quiesce() noexcept {
    {
        auto const lock = between_turns();
        connected_ = false;
    }
    eventfd_write(wake_.get(), 1);
}

PumpDrops QueuePump::drops() const {
    return {rx_bad_offload_.load(std::memory_order_relaxed), rx_refused_.load(std::memory_order_relaxed),
            tx_bad_frame_.load(std::memory_order_relaxed)};
}

void QueuePump::use_vf(VfLane* vf) {
    {
        auto const lock = between_turns();
        vf_ = vf;
        let_in_after_ring_ = false;
        vf_full_ = false;
        if (vf == nullptr && send_by_ == SendBy::vf) {
            send_by_ = SendBy::rings;
        }
        if (vf != nullptr) {
            buffer_.resize(sizeof(VirtioHeader) + LVIF_MAX_FRAME_BYTES);
        }
    }
    eventfd_write(wake_.get(), 1);
    // Who leaves poll(2) last closes a socket, and to close that one takes 10 ms and more.
    while (vf == nullptr && watches_vf()) {
        sched_yield();
    }
}

bool QueuePump::watches_vf() {
    auto const lock = between_turns();
    return watches_vf_;
}

void QueuePump::send_by(SendBy way) {
    {
        auto const lock = between_turns();
        send_by_ = way;
        vf_full_ = false;
    }
    eventfd_write(wake_.get(), 1);
}

void QueuePump::let_in_after_ring() {
    {
        auto const lock = between_turns();
        let_in_after_ring_ = connected_;
        if (!connected_ && vf_ != nullptr) {
            vf_->ring_is_in(queue_);
        }
    }
    eventfd_write(wake_.get(), 1);
}

void QueuePump::run() {
    std::array<pollfd, 4> watched{};
    for (pollfd& entry : watched) {
        entry.fd = -1;
    }
    watched[0] = {wake_.get(), POLLIN, 0};
    while (!stop_.load(std::memory_order_relaxed)) {
        Next next = Next::disconnected;
        while (callers_.load(std::memory_order_relaxed) != 0) {
            sched_yield();
        }
        {
            std::lock_guard const lock(turn_);
            watches_vf_ = false;
            if (connected_) {
                if (watched[1].fd == event_fd_ && watched[1].revents != 0) {
                    events_.event_clear(event_port_);
                }
                next = turn();
                connected_ = next != Next::disconnected;
            }
            if (next == Next::sleep || next == Next::disconnected) {
                watch(watched);
            }
        }
        if (next == Next::again || next == Next::look_on) {
            watched[1].revents = 0;
            if (next == Next::look_on) {
                sched_yield();
            }
            continue;
        }
        poll(watched.data(), watched.size(), -1);
        if (watched[0].revents != 0) {
            eventfd_t ignored = 0;
            eventfd_read(wake_.get(), &ignored);
        }
    }
}

// What may end the sleep after this turn.
void QueuePump::watch(std::array<pollfd, 4>& watched) {
    bool const takes_tap = send_by_ == SendBy::rings ? !tx_full_ : send_by_ == SendBy::vf && !vf_full_;
    bool const takes_vf = vf_ != nullptr && queue_ == 0 && vf_->lets_in();
    watched[1] = {connected_ ? event_fd_ : -1, POLLIN, 0};
    watched[2] = {connected_ && takes_tap ? tap_fd_ : -1, POLLIN, 0};
    auto const vf_events = static_cast<short>((takes_vf ? POLLIN : 0) | (vf_full_ ? POLLOUT : 0));
    watches_vf_ = connected_ && vf_events != 0;
    watched[3] = {watches_vf_ ? vf_->fd() : -1, vf_events, 0};
}

QueuePump::Next QueuePump::turn() {
    moved_ = false;
    lvif_rx_wake(device_, queue_);
    if (vf_ != nullptr && !vf_->lets_in() && lvif_rx_marked(device_, queue_)) {
        let_in_after_ring_ = true;
    }
    bool const more_of_vf = vf_ != nullptr && vf_->lets_in() && vf_to_tap();
    // On the way back to the rings what they have is younger than what the VF has.
    bool const ring_waits = more_of_vf && send_by_ != SendBy::vf;
    bool const more_of_ring = !ring_waits && ring_to_tap();
    if (!ring_waits && !more_of_ring && std::exchange(let_in_after_ring_, false) && vf_ != nullptr) {
        vf_->ring_is_in(queue_);
    }
    bool const more_of_tap = connected_ && send();
    if (!connected_) {
        return Next::disconnected;
    }
    if (moved_) {
        look_out_.worked();
    }
    if (more_of_vf || more_of_ring || more_of_tap) {
        return Next::again;
    }
    if (look_out_.again()) {
        return Next::look_on;
    }
    if (tx_full_ && lvif_tx_wait(device_, queue_, lvif_tx_max(device_, queue_))) {
        return Next::again;
    }
    return lvif_rx_sleep(device_, queue_) ? Next::sleep : Next::again;
}

bool QueuePump::vf_to_tap() {
    bool const more = vf_->to_tap();
    if (vf_->failed()) {
        eventfd_write(attention_, 1);
    }
    return more;
}

// Returns whether there may be more.
bool QueuePump::send() {
    switch (send_by_) {
        case SendBy::rings:
            return rest_to_ring() && tap_to_ring();
        case SendBy::vf:
            return tap_to_vf();
        default:
            tx_full_ = false;
            return false;
    }
}

// Returns whether the burst was full, so that there may be more.
bool QueuePump::ring_to_tap() {
    int done = 0;
    lvif_frame frame{};
    int result = 0;
    for (; done < burst && (result = lvif_rx_peek(device_, queue_, &frame)) == 1; ++done) {
        VirtioHeader header{};
        if (!to_kernel(frame.offload, frame.length, header)) {
            count(rx_bad_offload_);
        } else {
            std::array<iovec, 2> const parts{iovec{&header, sizeof header},
                                             iovec{const_cast<std::uint8_t*>(frame.bytes), frame.length}};
            if (writev(tap_fd_, parts.data(), parts.size()) < 0) {
                count(rx_refused_);
            }
        }
        lvif_rx_release(device_, queue_);
    }
    if (done > 0) {
        moved_ = true;
        lvif_rx_publish(device_, queue_);
    }
    if (result < 0) {
        disconnect_on(result);
    }
    return done == burst;
}

// Returns whether the burst was full. Sets tx_full_ when it ended for want of space.
bool QueuePump::tap_to_ring() {
    std::uint32_t const longest = lvif_tx_max(device_, queue_);
    int done = 0;
    int result = 0;
    for (; done < burst; ++done) {
        std::uint8_t* frame = nullptr;
        result = lvif_tx_reserve(device_, queue_, longest, &frame);
        if (result < 0) {
            break;
        }
        VirtioHeader header{};
        std::array<iovec, 2> const parts{iovec{&header, sizeof header}, iovec{frame, longest}};
        ssize_t const length = readv(tap_fd_, parts.data(), parts.size());
        if (length <= static_cast<ssize_t>(sizeof header)) {
            break;
        }
        auto const frame_bytes = static_cast<std::uint32_t>(length - static_cast<ssize_t>(sizeof header));
        lvif_offload offload{};
        // The kernel cuts off what does not fit, so a frame that fills the space may be a piece of one.
        if (frame_bytes >= longest || !to_ring(header, {frame, frame_bytes}, offload) ||
            lvif_tx_commit(device_, queue_, frame_bytes, &offload) != 0) {
            count(tx_bad_frame_);
        }
    }
    if (done > 0) {
        moved_ = true;
        lvif_tx_publish(device_, queue_);
    }
    tx_full_ = result == LVIF_EAGAIN;
    if (result < 0 && !tx_full_) {
        disconnect_on(result);
    }
    return done == burst;
}

// What the VF did not take before there was another way. False: there is no room.
bool QueuePump::rest_to_ring() {
    if (rest_bytes_ == 0) {
        return true;
    }
    VirtioHeader header{};
    std::memcpy(&header, buffer_.data(), sizeof header);
    std::span<std::uint8_t const> const frame(&buffer_[sizeof header], rest_bytes_ - sizeof header);
    lvif_offload offload{};
    int result = LVIF_EINVAL;
    if (to_ring(header, frame, offload)) {
        result = lvif_tx_frame(device_, queue_, frame.data(), static_cast<std::uint32_t>(frame.size()), &offload);
    }
    tx_full_ = result == LVIF_EAGAIN;
    if (tx_full_) {
        return false;
    }
    rest_bytes_ = 0;
    if (result == LVIF_ENOTCONN || result == LVIF_EPROTO) {
        disconnect_on(result);
        return false;
    }
    if (result < 0) {
        count(tx_bad_frame_);
    }
    lvif_tx_publish(device_, queue_);
    return true;
}

// Returns whether the burst was full. Sets vf_full_ when it ended for want of space.
bool QueuePump::tap_to_vf() {
    tx_full_ = false;
    vf_full_ = false;
    for (int done = 0; done < burst; ++done) {
        if (rest_bytes_ == 0) {
            ssize_t const bytes = read(tap_fd_, buffer_.data(), buffer_.size());
            if (bytes <= static_cast<ssize_t>(sizeof(VirtioHeader))) {
                return false;
            }
            rest_bytes_ = static_cast<std::size_t>(bytes);
        }
        switch (vf_->send({buffer_.data(), rest_bytes_})) {
            case VfLane::Sent::done:
                rest_bytes_ = 0;
                break;
            case VfLane::Sent::later:
                vf_full_ = true;
                return false;
            case VfLane::Sent::vf_gone:
                send_by_ = SendBy::nothing;  // until the control thread says what now
                eventfd_write(attention_, 1);
                return false;
        }
    }
    return true;
}

// Until the control thread has connected again; a broken ring it has to be told of.
void QueuePump::disconnect_on(int error) {
    connected_ = false;
    if (error != LVIF_ENOTCONN) {
        eventfd_write(attention_, 1);
    }
}

FramePump::FramePump(lvif_device* device, EventSource& events, TapDevice const& tap, std::uint32_t poll_us)
    : attention_(new_event()) {
    for (unsigned queue = 0; queue < tap.queues(); ++queue) {
        queues_.push_back(std::make_unique<QueuePump>(device, events, static_cast<std::uint16_t>(queue),
                                                      tap.queue_fd(queue), attention_.get(), poll_us));
    }
}

void FramePump::connect(std::uint16_t queues) {
    assert(queues <= queues_.size());
    for (std::uint16_t queue = 0; queue < queues; ++queue) {
        queues_[queue]->connect();
    }
    connected_ = queues;
}

void FramePump::quiesce() noexcept {
    for (auto const& queue : queues_) {
        queue->quiesce();
    }
}

void FramePump::use_vf(VfLane* vf) {
    for (auto const& queue : queues_) {
        queue->use_vf(vf);
    }
}

void FramePump::send_by(SendBy way) {
    for (auto const& queue : queues_) {
        queue->send_by(way);
    }
}

void FramePump::let_in_after_rings() {
    for (auto const& queue : queues_) {
        queue->let_in_after_ring();
    }
}

void FramePump::clear_attention() {
    eventfd_t ignored = 0;
    eventfd_read(attention_.get(), &ignored);
}

PumpDrops FramePump::drops() const {
    PumpDrops sum{};
    for (auto const& queue : queues_) {
        PumpDrops const one = queue->drops();
        sum.rx_bad_offload += one.rx_bad_offload;
        sum.rx_refused += one.rx_refused;
        sum.tx_bad_frame += one.tx_bad_frame;
    }
    return sum;
}

}  // namespace librettos::guest
