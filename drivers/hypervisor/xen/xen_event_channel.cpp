// SPDX-License-Identifier: BSD-2-Clause
// Event channels on /dev/xen/evtchn.
#include "drivers/hypervisor/xen/xen_event_channel.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "drivers/hypervisor/xen/quiet_log.hpp"

namespace librettos {

namespace {

[[noreturn]] void fail(std::string const& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

XenEventChannel::XenEventChannel(DomId domain, EventPort guest_port) : handle_(xenevtchn_open(quiet_log(), 0)) {
    if (!handle_)
        fail("opening /dev/xen/evtchn (modprobe xen-evtchn; only root may)");
    int const flags = fcntl(fd(), F_GETFL);
    if (flags < 0 || fcntl(fd(), F_SETFL, flags | O_NONBLOCK) != 0)
        fail("making an event channel's descriptor non-blocking");
    int const port = xenevtchn_bind_interdomain(handle_.get(), domain.value, guest_port.value);
    if (port < 0)
        fail("binding event port " + std::to_string(guest_port.value) + " of domain " + std::to_string(domain.value));
    port_.value = static_cast<std::uint32_t>(port);
}

void XenEventChannel::notify() noexcept {
    (void)xenevtchn_notify(handle_.get(), port_.value);  // fails only when the guest has closed its end
}

void XenEventChannel::clear() noexcept {
    int const port = xenevtchn_pending(handle_.get());  // the handle has one port: there is at most one
    if (port >= 0)
        (void)xenevtchn_unmask(handle_.get(), static_cast<evtchn_port_t>(port));
}

}  // namespace librettos
