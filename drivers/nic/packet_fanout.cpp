// SPDX-License-Identifier: BSD-2-Clause
// net_af_packet joins a fan-out group with PACKET_FANOUT_FLAG_DEFRAG, whatever the number of queues: the kernel then
// puts fragments together before the port sees them, and datagrams longer than a frame arrive cut off (measured: ping
// -s 3000 gives one frame of 2,048 bytes instead of three). The driver has no option for it and a socket leaves its
// group only by being closed; so the call itself is corrected on its way to the kernel. It is linked into the programs
// that open ports, which export it (librettos_nic's link options), so that the driver's library finds it before libc's.
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

extern "C" int setsockopt(int fd, int level, int name, void const* value, socklen_t size) noexcept {
    int fanout = 0;
    if (level == SOL_PACKET && name == PACKET_FANOUT && size == sizeof fanout) {
        std::memcpy(&fanout, value, sizeof fanout);
        fanout &= ~(PACKET_FANOUT_FLAG_DEFRAG << 16);
        value = &fanout;
    }
    return static_cast<int>(syscall(SYS_setsockopt, fd, level, name, value, size));
}
