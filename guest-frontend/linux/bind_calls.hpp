// SPDX-License-Identifier: BSD-2-Clause
// Answers bind(2) for the programs of a guest: claims the port first, then binds.
//
// Theory of operation
//
// Goal: an unmodified program, statically linked or not, owns its port before its bind() returns, and gets
// EADDRINUSE when another guest of the same IP address owns it.
//
// Why seccomp user notification: a cgroup BPF hook (bind4, bind6) sees every bind() too, but has to decide at once and
// cannot wait for an authority outside the kernel. An LD_PRELOAD library can wait, but misses static
// binaries and programs that make system calls themselves (Go). A notification does both, and costs nothing but to the
// trapped call. What has no bind() to trap (connect, sendto and listen on an unbound socket, bind to port 0) gets its
// port from the kernel's ephemeral range, which port_claims.hpp keeps equal to the blocks that the guest has leased: no
// trap, no round trip per connection.
//
// A call goes: copy the address (bounded), duplicate the socket, make sure that the caller still waits in that call
// (else pid and memory may be someone else's), claim the port, bind the duplicate to the copy, answer with the
// result. The program cannot change the address in between, as the copy is what is bound. The kernel judges
// capabilities by the process that calls, which is now us, so the rule for privileged ports is applied here to the
// caller's.
//
// Calls that are none of this (other address families, raw sockets, another network namespace), and all that would fail
// anyway (bad pointers, lengths) are let through to the kernel. A socket that slips through is found by the periodic
// comparison of sockets and claims, and claimed late.
//
// One thread. It never waits for a program: an answer to a caller that died is refused by the kernel and forgotten.
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/port_claims.hpp"

namespace librettos::guest {

class BindCalls {
  public:
    // Constructed in the guest's network namespace. Throws std::system_error.
    BindCalls(Descriptor listener, PortClaims& claims);

    // Polled for input; POLLHUP: no program runs under the filter any more.
    int fd() const { return listener_.get(); }
    // Answers one call; after POLLIN it does not wait. Throws std::system_error when the listener fails.
    void serve();

  private:
    struct Answer {
        bool let_through;
        int error;
    };
    Answer answer(seccomp_notif const& call);
    Answer bind_for(pid_t caller, int socket, struct sockaddr_storage const& address, socklen_t length);
    bool may_bind(pid_t caller, std::uint16_t port) const;
    bool still_waits(std::uint64_t id) const;

    using NamespaceId = std::pair<dev_t, ino_t>;
    Descriptor listener_;
    PortClaims& claims_;
    std::uint64_t network_cookie_;
    std::vector<NamespaceId>
        privileged_users_;         // user namespaces whose CAP_NET_BIND_SERVICE counts in our network namespace
    std::vector<std::byte> call_;  // as large as this kernel's seccomp_notif
    std::vector<std::byte> response_;
};

}  // namespace librettos::guest
