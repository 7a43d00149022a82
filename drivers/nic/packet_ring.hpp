// SPDX-License-Identifier: BSD-2-Clause
// net_af_packet and a process that is killed while it sends or receives.
//
// Driver and kernel each keep a position in the rings that they share, and they agree because both move by one per
// frame. The driver stores its position at the end of a burst only. A kill before that leaves it behind: the kernel
// then looks for frames to send where there are none, and the driver for received ones where they will not come. After
// two such kills neither moves any more.
#pragma once

#include "drivers/nic/port.hpp"

namespace librettos {

// While nobody uses the port's queues. Brings both positions together again; frames that the kernel had not sent may be
// lost, received ones are not. Does nothing for other drivers.
void realign_packet_rings(PortDescription const& port);

}  // namespace librettos
