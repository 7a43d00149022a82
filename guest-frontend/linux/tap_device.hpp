// SPDX-License-Identifier: BSD-2-Clause
// A TAP interface with a virtio-net header before each frame, and one file descriptor per queue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

// Made in the calling thread's network namespace; gone with the object. Functions throw std::system_error.
class TapDevice {
  public:
    // queues: 1 .. LVIF_MAX_QUEUES. The interface is down, without carrier, and lets nothing be off-loaded.
    TapDevice(std::string const& name, unsigned queues);

    // Non-blocking; a read or write is one struct VirtioHeader and one frame.
    int queue_fd(unsigned queue) const { return queues_[queue].get(); }
    unsigned queues() const { return static_cast<unsigned>(queues_.size()); }
    // Only the first `count` get frames from the kernel.
    void use_queues(unsigned count);
    // features: LVIF_F_TX_*, what the kernel may leave to the server.
    void set_offloads(std::uint32_t features);
    void set_carrier(bool up);

  private:
    std::vector<Descriptor> queues_;
    unsigned used_;
};

}  // namespace librettos::guest
