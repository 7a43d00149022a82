// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/lwip/core_lock.hpp"

#include <dlfcn.h>

#include <utility>

#include "guest-frontend/process/frame_link.hpp"

namespace librettos::guest {

namespace {

constexpr unsigned most_together = 64;

thread_local bool held = false;  // the core lock, by the calling thread

struct {
    unsigned sent = 0;  // since the lock is held
    FrameLink* frames = nullptr;
} core;  // the core lock's

void (*of_library(char const* name))() {
    return reinterpret_cast<void (*)()>(dlsym(RTLD_NEXT, name));
}

}  // namespace

bool leaves_with_core_lock(FrameLink& frames) {
    if (!held) {
        return false;
    }
    core.frames = &frames;
    return ++core.sent % most_together != 0;
}

}  // namespace librettos::guest

extern "C" {

[[gnu::weak]] void sys_lock_tcpip_core() {
    static auto const lock = librettos::guest::of_library("sys_lock_tcpip_core");
    lock();
    librettos::guest::held = true;
}

[[gnu::weak]] void sys_unlock_tcpip_core() {
    using librettos::guest::core;
    static auto const unlock = librettos::guest::of_library("sys_unlock_tcpip_core");
    if (std::exchange(core.sent, 0) != 0) {
        core.frames->flush();
    }
    librettos::guest::held = false;
    unlock();
}
}
