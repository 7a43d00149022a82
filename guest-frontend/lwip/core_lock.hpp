// SPDX-License-Identifier: BSD-2-Clause
// What is sent while lwIP's core lock is held leaves together when the lock is given up.
//
// lwIP does not tell its interfaces where a call ends that sends several frames. The end of the lock is that place. The
// port declares the lock's functions (Debian's lwipopts.h: LOCK_TCPIP_CORE() is sys_lock_tcpip_core()); those here come
// before the library's and call them. With a port that has none of them, or a library that is linked statically, nobody
// calls these, and each frame leaves at once.
#pragma once

#include "guest-frontend/lwip/lvif_netif.h"
// lwIP's
#include <lwip/tcpip.h>

namespace librettos::guest {

class CoreLock {
  public:
    CoreLock() { LOCK_TCPIP_CORE(); }
    ~CoreLock() { UNLOCK_TCPIP_CORE(); }
    CoreLock(CoreLock const&) = delete;
    CoreLock& operator=(CoreLock const&) = delete;
};

class FrameLink;

// One more frame for `frames`, with the core lock. True: FrameLink::flush() will be called.
bool leaves_with_core_lock(FrameLink& frames);

}  // namespace librettos::guest
