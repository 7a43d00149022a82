// SPDX-License-Identifier: BSD-2-Clause
// Frames of the stack on their way out: to the ring, to the VF, or held. All with tx_.
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "guest-frontend/process/frame_link.hpp"

namespace librettos::guest {

bool FrameLink::wait_for_room(std::chrono::milliseconds longest) {
    std::unique_lock lock(tx_);
    return room_.wait_for(lock, longest, [this] { return !tx_connected_ || wanted_ == 0; }) && tx_connected_;
}

bool FrameLink::sends_by_vf() const {
    std::lock_guard const lock(tx_);
    return send_by_ == SendBy::vf;
}

int FrameLink::reserve(std::uint32_t length, std::uint8_t*& frame) {
    int result = 0;
    if (send_by_ == SendBy::nothing || !held_.empty()) {
        reserved_in_ = SendBy::nothing;
        result = hold(length, frame);
    } else {
        reserved_in_ = send_by_;
        result = reserve_on_way(length, frame);
    }
    if (result == LVIF_EAGAIN) {
        wanted_ = length;
    }
    if (result == LVIF_EAGAIN || reserved_in_ == SendBy::nothing) {
        wants_room_.store(true, std::memory_order_relaxed);
    }
    return result;
}

int FrameLink::reserve_on_way(std::uint32_t length, std::uint8_t*& frame) {
    return send_by_ == SendBy::vf ? reserve_in_vf(length, frame) : reserve_in_ring(length, frame);
}

int FrameLink::commit_to(SendBy way, std::uint32_t length) {
    if (way == SendBy::rings) {
        return lvif_tx_commit(device_, 0, length, nullptr);
    }
    vf_->commit(length);
    return 0;
}

int FrameLink::reserve_in_ring(std::uint32_t length, std::uint8_t*& frame) {
    if (!tx_connected_) {
        return LVIF_ENOTCONN;
    }
    int result = lvif_tx_reserve(device_, 0, length, &frame);
    if (result == LVIF_EAGAIN) {
        wants_room_.store(true, std::memory_order_relaxed);  // before the server may say that there is room
        if (lvif_tx_wait(device_, 0, length)) {
            result = lvif_tx_reserve(device_, 0, length, &frame);
        }
    }
    if (result == LVIF_EPROTO || result == LVIF_ENOTCONN) {
        lose_rings();
        eventfd_write(attention_, 1);
        return LVIF_ENOTCONN;
    }
    return result;
}

// A VF says nothing when it has room again: the receive thread will ask.
int FrameLink::reserve_in_vf(std::uint32_t length, std::uint8_t*& frame) {
    int const result = vf_->reserve(length, frame);
    if (result == LVIF_EAGAIN) {
        ask_vf_for_room();
    }
    return result;
}

void FrameLink::ask_vf_for_room() {
    wants_room_.store(true, std::memory_order_relaxed);
    if (!ask_vf_for_room_.exchange(true, std::memory_order_relaxed)) {
        wake();
    }
}

int FrameLink::hold(std::uint32_t length, std::uint8_t*& frame) {
    if (!tx_connected_) {
        return LVIF_ENOTCONN;
    }
    if (length < LVIF_MIN_FRAME_BYTES) {
        return LVIF_EINVAL;
    }
    if (length > lvif_tx_max(device_, 0)) {
        return LVIF_EMSGSIZE;
    }
    if (!held_.has_room(length)) {
        return LVIF_EAGAIN;
    }
    frame = held_.add(length);
    return 0;
}

int FrameLink::commit(std::uint32_t length, Leaves leaves) {
    if (reserved_in_ == SendBy::nothing) {
        return 0;
    }
    int const result = commit_to(reserved_in_, length);
    if (leaves == Leaves::at_once && bursting_.load(std::memory_order_relaxed) != std::this_thread::get_id()) {
        publish_and_wait_on();
    }
    return result;
}

void FrameLink::flush() {
    std::lock_guard const lock(tx_);
    publish_and_wait_on();
}

void FrameLink::publish_and_wait_on() {
    publish();
    // A shorter frame than the one that was refused took the waiting back.
    if (send_by_ == SendBy::rings && tx_connected_ && wanted_ != 0 && lvif_tx_wait(device_, 0, wanted_)) {
        wake();
    }
}

// False: a part of it waits for room in the VF, which is asked.
bool FrameLink::publish() {
    if (send_by_ == SendBy::vf && !vf_->publish()) {
        ask_vf_for_room();
        return false;
    }
    if (send_by_ == SendBy::rings && tx_connected_) {
        lvif_tx_publish(device_, 0);
    }
    return true;
}

int FrameLink::send_one(std::vector<std::uint8_t> const& frame) {
    auto const length = static_cast<std::uint32_t>(frame.size());
    std::uint8_t* place = nullptr;
    int const result = reserve_on_way(length, place);
    if (result != 0) {
        return result;
    }
    std::copy(frame.begin(), frame.end(), place);
    return commit_to(send_by_, length);
}

// As many as there is room for. What is refused for another reason is lost, as it would be without having waited.
void FrameLink::send_held() {
    if (send_by_ == SendBy::nothing || held_.empty()) {
        return;
    }
    while (!held_.empty() && send_one(held_.front()) != LVIF_EAGAIN) {
        if (!held_.empty()) {  // losing the rings empties it
            held_.pop();
        }
    }
    publish();
}

bool FrameLink::has_room(std::uint32_t length) {
    if (send_by_ == SendBy::nothing || !held_.empty()) {
        return held_.has_room(length);
    }
    if (send_by_ == SendBy::rings) {
        return tx_connected_ && lvif_tx_wait(device_, 0, length);
    }
    std::uint8_t* place = nullptr;
    bool const room = vf_->reserve(length, place) != LVIF_EAGAIN;
    ask_vf_for_room_.store(!room, std::memory_order_relaxed);
    return room;
}

// Until connect(). What is held is lost with what is in the ring; unless it is on its way to the VF.
void FrameLink::lose_rings() {
    tx_connected_ = false;
    if (send_by_ == SendBy::rings) {
        held_.clear();
    }
    room_.notify_all();
}

bool FrameLink::vf_sent_all() {
    std::lock_guard const lock(tx_);
    return !writes_vf_ || vf_->sent_all();
}

std::size_t FrameLink::take_back() {
    std::size_t count = 0;
    {
        std::lock_guard const lock(tx_);
        if (!writes_vf_) {
            return 0;
        }
        HeldFrames older;
        vf_->take_back([&older](std::uint8_t const* frame, std::uint32_t length) {
            std::copy_n(frame, length, older.add(length));
        });
        count = older.size();
        held_.put_before(std::move(older));
        wants_room_.store(true, std::memory_order_relaxed);
        send_held();
    }
    wake();
    return count;
}

bool FrameLink::vf_works() {
    std::lock_guard const lock(tx_);
    return !writes_vf_ || vf_->alive(send_by_ == SendBy::vf);
}

}  // namespace librettos::guest
