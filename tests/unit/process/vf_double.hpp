// SPDX-License-Identifier: BSD-2-Clause
// A VF of the test's own: queues in memory.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "guest-frontend/process/vf.hpp"

namespace librettos::guest {

class VfDouble final : public Vf {
  public:
    explicit VfDouble(bool with_event) : event_(with_event ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1) {}
    ~VfDouble() override { ::close(event_); }

    int up(VfMac const&, std::uint16_t, std::uint16_t) override {
        is_up_ = true;
        return 1;
    }
    bool gone() override { return gone_; }
    void down() override { is_up_ = false; }
    std::string name() const override { return "vf0"; }

    bool gather() override {
        std::lock_guard const lock(mutex_);
        gathered_.insert(gathered_.end(), queue_.begin(), queue_.end());
        queue_.clear();
        return false;
    }
    bool front(lvif_frame& frame) override {
        if (!gathered_.empty()) {
            frame = {gathered_.front().data(), static_cast<std::uint32_t>(gathered_.front().size()), {}};
        }
        return !gathered_.empty();
    }
    void release() override { gathered_.pop_front(); }
    int event_fd() const override { return event_; }
    bool arm() override {
        std::lock_guard const lock(mutex_);
        armed_ = true;
        ++arms_;
        return queue_.empty();
    }
    void disarm() override {
        std::lock_guard const lock(mutex_);
        armed_ = false;
        eventfd_t ignored = 0;
        eventfd_read(event_, &ignored);
    }

    int reserve(std::uint32_t length, std::uint8_t*& frame) override {
        std::lock_guard const lock(mutex_);
        if (committed_.size() + sent_.size() >= room_) {
            return LVIF_EAGAIN;
        }
        reserved_.resize(length);
        frame = reserved_.data();
        return 0;
    }
    void commit(std::uint32_t) override { committed_.push_back(reserved_); }
    bool publish() override {
        std::lock_guard const lock(mutex_);
        auto const taken = std::min(committed_.size(), most_sent_ - std::min(most_sent_, sent_.size()));
        auto const end = committed_.begin() + static_cast<std::ptrdiff_t>(taken);
        bursts_ += taken > 0 ? 1 : 0;
        sent_.insert(sent_.end(), committed_.begin(), end);
        committed_.erase(committed_.begin(), end);
        return committed_.empty();
    }
    bool sent_all() override {
        std::lock_guard const lock(mutex_);
        return sent_.empty() && committed_.empty();
    }
    void take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) override {
        std::lock_guard const lock(mutex_);
        sent_.insert(sent_.end(), committed_.begin(), committed_.end());
        for (auto const& frame : sent_) {
            take(frame.data(), static_cast<std::uint32_t>(frame.size()));
        }
        sent_.clear();
        committed_.clear();
    }
    bool alive(bool) override { return true; }

    // ---- the NIC's side
    void deliver(std::vector<std::uint8_t> frame) {
        std::lock_guard const lock(mutex_);
        queue_.push_back(std::move(frame));
        if (armed_ && event_ >= 0) {
            eventfd_write(event_, 1);
        }
    }
    std::vector<std::vector<std::uint8_t>> take() {
        std::lock_guard const lock(mutex_);
        std::vector<std::vector<std::uint8_t>> all(sent_.begin(), sent_.end());
        sent_.clear();
        return all;
    }
    void set_room(std::size_t frames) {
        std::lock_guard const lock(mutex_);
        room_ = frames;
    }
    void set_most_sent(std::size_t frames) {
        std::lock_guard const lock(mutex_);
        most_sent_ = frames;
    }
    std::size_t to_gather() {
        std::lock_guard const lock(mutex_);
        return queue_.size();
    }
    int arms() const { return arms_; }
    int bursts() const { return bursts_; }
    bool is_up() const { return is_up_; }
    void unplug() { gone_ = true; }

  private:
    int event_;
    std::mutex mutex_;
    bool armed_ = false;
    std::size_t room_ = 256;
    std::size_t most_sent_ = 256;  // that nobody has taken
    std::atomic<int> bursts_ = 0, arms_ = 0;
    std::atomic<bool> is_up_ = false;
    std::atomic<bool> gone_ = false;
    std::deque<std::vector<std::uint8_t>> queue_, gathered_, sent_;
    std::vector<std::vector<std::uint8_t>> committed_;
    std::vector<std::uint8_t> reserved_;
};

}  // namespace librettos::guest
