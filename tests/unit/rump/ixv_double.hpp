// SPDX-License-Identifier: BSD-2-Clause
// The kernel's half of a VF that ixv drives, of the test's own: what it is given to send has left when the test takes
// it, and it watches that its functions are called scheduled. Its registers are a VF's, as far as they are read.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "tests/unit/rump/kernel_double.hpp"

namespace librettos::test {

class IxvDouble {
  public:
    static IxvDouble& instance();
    // As before the first start, with a link.
    void reset();

    std::uint32_t const volatile* registers() const { return registers_.data(); }
    void set_link(bool up);
    void unplug();
    // The error number of the next starts.
    void set_start_error(int error);
    // Frames that the driver takes before it has no room.
    void set_room(std::size_t frames);
    // The queue stops: what is sent does not leave the VF.
    void hang();
    std::vector<Frame> take();
    bool is_up();
    unsigned looks_at_groups();

    // the contract's side
    int up();
    void down();
    int send(Frame frame);
    unsigned waiting();
    void join_groups();

  private:
    enum Register : std::size_t { status = 0x8 / 4, links = 0x10 / 4, head = 0x2010 / 4, tail = 0x2018 / 4 };
    void set(Register which, std::uint32_t value) { __atomic_store_n(&registers_[which], value, __ATOMIC_RELAXED); }

    std::mutex mutex_;
    std::array<std::uint32_t, 0x1000> registers_{};
    int start_error_ = 0;
    std::size_t room_ = 0;
    bool hangs_ = false;
    bool up_ = false;
    std::uint32_t sent_count_ = 0;
    unsigned looks_at_groups_ = 0;
    std::vector<Frame> sent_;
};

// In the kernel: the driver received a frame, in so many parts.
void receive_by_ixv(std::function<void(iovec const*, unsigned)> const& received, Frame const& frame, unsigned cuts = 1);

}  // namespace librettos::test
