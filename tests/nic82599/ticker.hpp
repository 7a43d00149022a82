// SPDX-License-Identifier: BSD-2-Clause
// A thread that calls at the time that was asked for: real time for a NIC.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace nic82599 {

class Ticker {
  public:
    // `due` is called from the thread.
    explicit Ticker(std::function<void()> due);
    ~Ticker();
    Ticker(Ticker const&) = delete;
    Ticker& operator=(Ticker const&) = delete;

    static std::uint64_t now_ns();
    void wake_at(std::uint64_t time_ns);

  private:
    void run();

    static constexpr std::uint64_t never = UINT64_MAX;
    std::function<void()> due_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t next_ns_ = never;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace nic82599
