// SPDX-License-Identifier: BSD-2-Clause
// What systemd is told; nothing happens when it did not start us.
#pragma once

#include <chrono>
#include <string>

namespace librettos {

class ServiceNotice {
  public:
    void ready();  // at first, and again at the end of a reload
    void reloading();
    void stopping();
    void status(std::string const& line);
    void alive();
    // WatchdogSec of the unit; zero when there is none.
    std::chrono::microseconds watchdog() const;

  private:
    bool announced_ = false;
    bool reloading_ = false;
};

}  // namespace librettos
