// SPDX-License-Identifier: BSD-2-Clause
// An interrupt of a PCI function as a thread of the rump kernel's, which runs the driver's handler.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "guest-frontend/rump/contract.h"

namespace librettos::guest {

class InterruptThread {
  public:
    // event: an eventfd that blocks; outlives this.
    InterruptThread(int event, int (*handler)(void*), void* argument)
        : event_(event), thread_([this, handler, argument] { run(handler, argument); }) {}
    ~InterruptThread() {
        stop_.store(true, std::memory_order_relaxed);
        eventfd_write(event_, 1);
        thread_.join();
    }
    InterruptThread(InterruptThread const&) = delete;
    InterruptThread& operator=(InterruptThread const&) = delete;

  private:
    void run(int (*handler)(void*), void* argument) {
        rumpuser_component_kthread();
        eventfd_t count = 0;
        while ((eventfd_read(event_, &count) == 0 || errno == EINTR) && !stop_.load(std::memory_order_relaxed)) {
            rumpuser_component_schedule(nullptr);
            handler(argument);
            rumpuser_component_unschedule();
        }
        rumpuser_component_kthread_release();
    }

    int const event_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;  // last
};

}  // namespace librettos::guest
