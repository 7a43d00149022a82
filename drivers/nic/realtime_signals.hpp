// SPDX-License-Identifier: BSD-2-Clause
// net_tap asks the kernel for a real-time signal per frame, sent to the process that set the port up: the holder,
// which would make the engine deaf. When every real-time signal has an owner it does without and reads the descriptor.
#pragma once

#include <csignal>
#include <vector>

namespace librettos {

// While it lives, no real-time signal looks free.
class RealtimeSignalsTaken {
  public:
    RealtimeSignalsTaken() {
        for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
            struct sigaction before {};
            if (sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_DFL) {
                struct sigaction ignore {};
                ignore.sa_handler = SIG_IGN;
                if (sigaction(number, &ignore, nullptr) == 0) {
                    taken_.push_back(number);
                }
            }
        }
    }
    ~RealtimeSignalsTaken() {
        struct sigaction standard {};
        standard.sa_handler = SIG_DFL;
        for (int const number : taken_) {
            sigaction(number, &standard, nullptr);
        }
    }
    RealtimeSignalsTaken(RealtimeSignalsTaken const&) = delete;
    RealtimeSignalsTaken& operator=(RealtimeSignalsTaken const&) = delete;

  private:
    std::vector<int> taken_;
};

}  // namespace librettos
