// SPDX-License-Identifier: BSD-2-Clause
// The one guest of this process, for those who need it for a moment: the port hooks, the configuration.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

#include "guest-frontend/process/stack_device.hpp"

namespace librettos::guest {

class CurrentGuest {
  public:
    // False: there is none. Nobody blocks in `use` while scheduled.
    template <typename Use>
    bool with(Use&& use) {
        StackDevice* device = nullptr;
        {
            std::lock_guard const lock(mutex_);
            if (device_ == nullptr) {
                return false;
            }
            device = device_;
            ++users_;
        }
        use(*device);
        std::lock_guard const lock(mutex_);
        --users_;
        unused_.notify_all();
        return true;
    }

    // False: there is one already.
    bool reserve() {
        std::lock_guard const lock(mutex_);
        return !std::exchange(reserved_, true);
    }
    void set(StackDevice& device) {
        std::lock_guard const lock(mutex_);
        device_ = &device;
    }
    // Unscheduled: waits until nobody uses it.
    void clear() {
        std::unique_lock lock(mutex_);
        device_ = nullptr;
        unused_.wait(lock, [this] { return users_ == 0; });
        reserved_ = false;
    }

  private:
    std::mutex mutex_;
    std::condition_variable unused_;
    StackDevice* device_ = nullptr;
    bool reserved_ = false;
    int users_ = 0;
};

CurrentGuest& current_guest();

}  // namespace librettos::guest
