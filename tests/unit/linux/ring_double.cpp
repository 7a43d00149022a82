// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/linux/ring_double.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

void lvif_device::deliver(std::vector<RingFrame> frames) {
    std::lock_guard const lock(mutex_);
    std::move(frames.begin(), frames.end(), std::back_inserter(to_guest_));
    if (std::exchange(sleeps_, false)) {
        notify();
    }
}

void lvif_device::mark(bool marked) {
    marked_.store(marked);
    if (marked) {
        notify();
    }
}

RingFrame lvif_device::take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return !from_guest_.empty(); })) {
        return {};
    }
    RingFrame frame = std::move(from_guest_.front());
    from_guest_.pop_front();
    return frame;
}

std::size_t lvif_device::waiting() {
    std::lock_guard const lock(mutex_);
    return from_guest_.size();
}

void lvif_device::set_room(std::size_t frames) {
    std::lock_guard const lock(mutex_);
    room_ = frames;
    if (room_ > from_guest_.size() && std::exchange(waits_, false)) {
        notify();
    }
}

void lvif_device::break_ring() {
    std::lock_guard const lock(mutex_);
    broken_ = true;
    notify();
}

bool lvif_device::asleep() {
    std::lock_guard const lock(mutex_);
    return sleeps_;
}

bool lvif_device::waits_for_room() {
    std::lock_guard const lock(mutex_);
    return waits_;
}

void lvif_device::notice_call() {
    if (forbidden_.load()) {
        trespasses_.fetch_add(1);
    }
}

int lvif_device::peek(lvif_frame* frame) {
    std::lock_guard const lock(mutex_);
    if (broken_) {
        return LVIF_EPROTO;
    }
    if (to_guest_.empty()) {
        return 0;
    }
    *frame = {to_guest_.front().bytes.data(), static_cast<std::uint32_t>(to_guest_.front().bytes.size()),
              to_guest_.front().offload};
    return 1;
}

void lvif_device::release() {
    std::lock_guard const lock(mutex_);
    to_guest_.pop_front();
}

bool lvif_device::sleep() {
    std::lock_guard const lock(mutex_);
    sleeps_ = to_guest_.empty() && !broken_;
    return sleeps_;
}

void lvif_device::wake() {
    std::lock_guard const lock(mutex_);
    sleeps_ = false;
}

int lvif_device::reserve(std::uint32_t length, std::uint8_t** frame) {
    std::lock_guard const lock(mutex_);
    if (broken_) {
        return LVIF_EPROTO;
    }
    if (from_guest_.size() + committed_.size() >= room_) {
        return LVIF_EAGAIN;
    }
    waits_ = false;
    reserved_.resize(length);
    *frame = reserved_.data();
    return 0;
}

int lvif_device::commit(std::uint32_t length, lvif_offload const* offload) {
    if (refuses_.load()) {
        return LVIF_EINVAL;
    }
    committed_.push_back(
        {{reserved_.begin(), reserved_.begin() + length}, offload != nullptr ? *offload : lvif_offload{}});
    return 0;
}

void lvif_device::publish() {
    if (committed_.empty()) {
        return;
    }
    publishes_.fetch_add(1);
    if (other_ != nullptr) {
        other_->deliver(std::exchange(committed_, {}));
        return;
    }
    std::lock_guard const lock(mutex_);
    std::move(committed_.begin(), committed_.end(), std::back_inserter(from_guest_));
    committed_.clear();
    changed_.notify_all();
}

bool lvif_device::wait_for_room() {
    publish();
    std::lock_guard const lock(mutex_);
    waits_ = from_guest_.size() >= room_;
    return !waits_;
}

extern "C" {

int lvif_rx_peek(lvif_device* device, uint16_t, lvif_frame* frame) {
    device->notice_call();
    return device->peek(frame);
}
void lvif_rx_release(lvif_device* device, uint16_t) {
    device->notice_call();
    device->release();
}
void lvif_rx_publish(lvif_device* device, uint16_t) {
    device->notice_call();
}
bool lvif_rx_sleep(lvif_device* device, uint16_t) {
    device->notice_call();
    return device->sleep();
}
void lvif_rx_wake(lvif_device* device, uint16_t) {
    device->notice_call();
    device->wake();
}
int lvif_tx_reserve(lvif_device* device, uint16_t, uint32_t length, uint8_t** frame) {
    device->notice_call();
    return device->reserve(length, frame);
}
int lvif_tx_commit(lvif_device* device, uint16_t, uint32_t length, lvif_offload const* offload) {
    device->notice_call();
    return device->commit(length, offload);
}
int lvif_tx_frame(lvif_device* device, uint16_t queue, void const* frame, uint32_t length,
                  lvif_offload const* offload) {
    uint8_t* place = nullptr;
    int const result = lvif_tx_reserve(device, queue, length, &place);
    if (result == 0) {
        std::memcpy(place, frame, length);
        return device->commit(length, offload);
    }
    return result;
}
bool lvif_server_alive(lvif_device const* device) {
    return device->alive();
}
bool lvif_rx_marked(lvif_device const* device, uint16_t) {
    return device->marked();
}
bool lvif_tx_idle(lvif_device* device, uint16_t) {
    return device->waiting() == 0;
}
void lvif_tx_publish(lvif_device* device, uint16_t) {
    device->notice_call();
    device->publish();
}
bool lvif_tx_wait(lvif_device* device, uint16_t, uint32_t) {
    device->notice_call();
    return device->wait_for_room();
}
uint32_t lvif_tx_max(lvif_device const*, uint16_t) {
    return lvif_device::longest;
}
uint32_t lvif_queue_event(lvif_device const* device, uint16_t) {
    return static_cast<uint32_t>(device->event());
}
}

namespace librettos::guest {

void RingEvents::event_clear(std::uint32_t port) {
    eventfd_t ignored = 0;
    eventfd_read(static_cast<int>(port), &ignored);
}

}  // namespace librettos::guest
