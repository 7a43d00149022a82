// SPDX-License-Identifier: BSD-2-Clause
// The guest's ends of its event channels, as descriptors to poll.
#pragma once

#include <cstdint>

namespace librettos::guest {

class EventSource {
  public:
    virtual ~EventSource() = default;
    // Readable when notified; negative when there is no such port.
    virtual int event_fd(std::uint32_t port) = 0;
    // Takes the notifications, a bounded amount of work. Any thread.
    virtual void event_clear(std::uint32_t port) = 0;
};

}  // namespace librettos::guest
