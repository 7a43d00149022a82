// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/tap_device.hpp"

#include <fcntl.h>
#include <librettos/frame_ring.h>
#include <librettos/handshake.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cassert>
#include <cstring>

#include "guest-frontend/linux/virtio_header.hpp"

namespace librettos::guest {

namespace {

Descriptor open_queue(std::string const& name, bool multi_queue) {
    Descriptor queue = checked_descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC),
                                          "open /dev/net/tun (kernel module tun: modprobe tun)");
    ifreq request{};
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
    if (ioctl(queue.get(), TUNSETIFF, &request) < 0) {
        throw_errno(errno, "make the TAP interface " + name +
                               (errno == EBUSY ? " (there is one of that name: choose another by --interface)" : ""));
    }
    int const header_bytes = sizeof(VirtioHeader);
    if (ioctl(queue.get(), TUNSETVNETHDRSZ, &header_bytes) < 0) {
        throw_errno(errno, "set the header size of " + name);
    }
    return queue;
}

}  // namespace

TapDevice::TapDevice(std::string const& name, unsigned queues) : used_(queues) {
    assert(queues >= 1 && queues <= LVIF_MAX_QUEUES);
    if (name.empty() || name.size() >= IFNAMSIZ) {
        throw_errno(EINVAL, "interface name '" + name + "' (1 to 15 characters)");
    }
    for (unsigned i = 0; i < queues; ++i) {
        queues_.push_back(open_queue(name, queues > 1));
    }
    set_offloads(0);
    set_carrier(false);
}

void TapDevice::use_queues(unsigned count) {
    assert(count >= 1 && count <= queues_.size());
    auto const switch_queue = [this](unsigned queue, short flags) {
        ifreq request{};
        request.ifr_flags = flags;
        if (ioctl(queues_[queue].get(), TUNSETQUEUE, &request) < 0) {
            throw_errno(errno, "switch queue " + std::to_string(queue) + " of the TAP interface");
        }
    };
    for (; used_ > count; --used_) {
        switch_queue(used_ - 1, IFF_DETACH_QUEUE);
    }
    for (; used_ < count; ++used_) {
        switch_queue(used_, IFF_ATTACH_QUEUE);
    }
}

void TapDevice::set_offloads(std::uint32_t features) {
    unsigned long offloads = 0;
    if ((features & LVIF_F_TX_CSUM) != 0) {  // the kernel takes no TSO without it
        offloads |= TUN_F_CSUM;
        offloads |= (features & LVIF_F_TX_TSO4) != 0 ? TUN_F_TSO4 : 0u;
        offloads |= (features & LVIF_F_TX_TSO6) != 0 ? TUN_F_TSO6 : 0u;
    }
    if (ioctl(queues_.front().get(), TUNSETOFFLOAD, offloads) < 0) {
        throw_errno(errno, "set the off-loads of the TAP interface");
    }
}

void TapDevice::set_carrier(bool up) {
    int const carrier = up ? 1 : 0;
    if (ioctl(queues_.front().get(), TUNSETCARRIER, &carrier) < 0) {
        throw_errno(errno, "set the carrier of the TAP interface (needs Linux 5.0)");
    }
}

}  // namespace librettos::guest
