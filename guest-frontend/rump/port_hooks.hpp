// SPDX-License-Identifier: BSD-2-Clause
// Claims of ports without the application's knowledge: the stack's in_pcbbind() and its like, interposed.
//
// Theory of operation
//
// The stack is a shared library, and calls in_pcballoc, in_pcbbind, in_pcbdetach (and those of IPv6) by name, also from
// within itself. port_hooks.cpp defines these names for whoever comes first in the search: the program, or a preloaded
// library. The real ones are the next ones, RTLD_NEXT. So every bind is seen: bind(), the implicit one of connect() and
// sendto(), and those that come through the system-call proxy; each under the stack's socket lock, one at a time.
//
//   alloc    remembers whether the new block is of TCP or UDP
//   bind     with a port: claimed first; another guest's gives EADDRINUSE. Port 0: the stack chooses from a block that
//   was leased,
//            and gets another block when that is used up
//   detach   a port that no other socket has is given back
//
// Layouts are not known, but for one fact: a table of blocks begins with the head of the list of all, whose first word
// is the newest block (NetBSD of 2015-05 to 2022-10, that is NetBSD 8 and 9 and the trees of rump kernels; checked with
// each allocation: if that word does not change, binds fail, and standard error says why). A block's port is what
// in_setsockaddr() says, and in_pcblookup_port() says whether another has it.
//
// Binds to 127.0.0.0/8 and ::1 are not claimed: nobody shares these addresses.
#pragma once

#include "guest-frontend/process/stack_ports.hpp"

namespace librettos::guest {

// Of sockets that were there before the interface; leases the first block, which the stack chooses from. Unscheduled,
// once per interface.
void claim_bound_ports(StackPorts& ports);

}  // namespace librettos::guest
