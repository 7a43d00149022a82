// SPDX-License-Identifier: BSD-2-Clause
// Waiting for what another thread or process is about to do.
#pragma once

#include <chrono>
#include <thread>

namespace librettos {

// False: not within `patience`, which is far more than it takes on a busy machine.
template <typename Condition>
bool eventually(Condition condition, std::chrono::seconds patience = std::chrono::seconds(60)) {
    for (auto const end = std::chrono::steady_clock::now() + patience; !condition();) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

}  // namespace librettos
