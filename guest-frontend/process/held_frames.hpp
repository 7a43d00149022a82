// SPDX-License-Identifier: BSD-2-Clause
// Frames to be sent that wait while they have no way, or behind such: as many as an interface's queue has.
#pragma once

#include <cstdint>
#include <deque>
#include <iterator>
#include <vector>

namespace librettos::guest {

class HeldFrames {
  public:
    static constexpr std::size_t most_frames = 4000;
    static constexpr std::size_t most_bytes = 8u << 20;

    bool empty() const { return frames_.empty(); }
    bool has_room(std::uint32_t length) const { return frames_.size() < most_frames && bytes_ + length <= most_bytes; }
    // Place for one more, where there is room.
    std::uint8_t* add(std::uint32_t length) {
        bytes_ += length;
        return frames_.emplace_back(length).data();
    }
    // These come first, also where there is no room for them.
    void put_before(HeldFrames&& older) {
        frames_.insert(frames_.begin(), std::make_move_iterator(older.frames_.begin()),
                       std::make_move_iterator(older.frames_.end()));
        bytes_ += older.bytes_;
        older.clear();
    }
    std::size_t size() const { return frames_.size(); }
    std::vector<std::uint8_t> const& front() const { return frames_.front(); }
    void pop() {
        bytes_ -= frames_.front().size();
        frames_.pop_front();
    }
    void clear() {
        frames_.clear();
        bytes_ = 0;
    }

  private:
    std::deque<std::vector<std::uint8_t>> frames_;
    std::size_t bytes_ = 0;
};

}  // namespace librettos::guest
