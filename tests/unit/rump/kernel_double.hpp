// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel of the test's own: one virtual CPU, a big lock, and the contract's rules, which it watches.
//
// The rules: a thread is known to the kernel before it is scheduled; it is scheduled when it delivers, and when the
// kernel calls it; it is unscheduled when it ends; what send() is given is gone when it returns; nothing is delivered
// after destroy(). Who blocks while scheduled blocks everybody, since there is one CPU.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "guest-frontend/rump/contract.h"

namespace librettos::test {

using Frame = std::vector<std::uint8_t>;

class KernelDouble {
  public:
    static KernelDouble& instance();
    // To the state of the beginning. Returns the rules that were broken.
    std::vector<std::string> reset();

    void wait_for_frames(std::size_t count);
    std::vector<Frame> frames();
    // Times that a thread of the component took the CPU.
    unsigned component_schedules() const { return component_schedules_.load(); }
    // Kernel calls of other threads that got the CPU.
    unsigned known_threads() const { return known_threads_.load(); }

    // Of the calling thread.
    static bool is_scheduled();

    // the contract's side
    void enter(int locks, bool component);
    int leave();
    void kthread();
    void kthread_release();
    void deliver(virtif_sc* kernel_half, iovec const* parts, std::size_t n);
    void broke(std::string const& rule);

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool cpu_taken_ = false;
    std::vector<Frame> frames_;
    std::vector<std::string> broken_;
    std::atomic<unsigned> component_schedules_ = 0;
    std::atomic<unsigned> known_threads_ = 0;
};

// The calling thread is one of the kernel's, scheduled, with the big lock held once.
class InKernel {
  public:
    InKernel();
    ~InKernel();
    InKernel(InKernel const&) = delete;
    InKernel& operator=(InKernel const&) = delete;
};

// An interface, made and used as the kernel's half does.
class Interface {
  public:
    // In the kernel.
    int create(std::string const& device);
    // In the kernel. `cuts`: parts that the frame comes in.
    void send(Frame const& frame, std::size_t cuts = 1);
    // In the kernel.
    void destroy();
    virtif_sc* kernel_half() { return reinterpret_cast<virtif_sc*>(this); }
    Frame mac() const { return Frame(mac_, mac_ + sizeof mac_); }
    bool alive() const { return user_half_ != nullptr; }

  private:
    virtif_user* user_half_ = nullptr;
    std::uint8_t mac_[6] = {0xb2, 0x0a, 0, 0x0b, 0x0e, 1};
};

}  // namespace librettos::test
