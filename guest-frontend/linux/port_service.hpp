// SPDX-License-Identifier: BSD-2-Clause
// The thread that keeps the portmap and the guest's sockets in step: answers binds, and compares every second.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "guest-frontend/linux/bind_calls.hpp"
#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/port_claims.hpp"
#include "guest-frontend/linux/socket_dump.hpp"

namespace librettos::guest {

// How a port that is not used any more is found: each second the namespace's socket counters are read, which is
// nearly free; when they moved, when a program has bound since, or when a claim was last seen without a socket, the
// sockets are listed and compared. Every 30 s they are anyway. The destroy notifications of sock_diag would say it
// sooner, but cost a netlink message for every connection that ends, in a web server tens of thousands a second, to
// release a port at most a second earlier.
class PortService {
  public:
    // Leases ports and sets the ephemeral range of the calling thread's network namespace. Throws std::system_error.
    PortService(PortAuthority& authority, std::uint16_t lease_ports);
    // Stops the thread, then releases what is not used any more. The rest goes with the guest's domain.
    ~PortService();
    PortService(PortService const&) = delete;
    PortService& operator=(PortService const&) = delete;

    // Begins to answer. Once.
    void start(Descriptor listener);

    // Any thread: the portmap is another one, which knows nothing of this guest. All that is used is claimed again.
    void begin_anew();

  private:
    void run();
    void answer_binds();
    void claim_anew();
    void compare();
    bool is_worth_a_dump();
    void settle_quietly() noexcept;

    PortClaims claims_;
    SocketDump dump_;
    Descriptor stop_;
    std::atomic<bool> anew_ = false;
    std::optional<BindCalls> binds_;
    bool listening_ = false;  // programs run under the filter
    bool bound_ = false;      // since the last comparison
    std::string counters_;
    std::chrono::steady_clock::time_point next_comparison_{};
    std::chrono::steady_clock::time_point next_full_{};
    std::jthread thread_;
};

}  // namespace librettos::guest
