// SPDX-License-Identifier: BSD-2-Clause
// An alarm that is due at once: DPDK carries alarms out where it serves interrupts.
#include "drivers/nic/interrupt_thread.hpp"

#include <future>
#include <system_error>
#include <utility>

#include <rte_alarm.h>

namespace librettos {

void in_interrupt_thread(std::function<void()> work) {
    using Task = std::packaged_task<void()>;
    Task task(std::move(work));
    auto done = task.get_future();
    if (int const error = rte_eal_alarm_set(
            1, [](void* due) { (*static_cast<Task*>(due))(); }, &task);
        error != 0) {
        throw std::system_error(-error, std::generic_category(), "DPDK's interrupt thread cannot be reached");
    }
    done.get();
}

}  // namespace librettos
