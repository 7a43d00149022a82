// SPDX-License-Identifier: BSD-2-Clause
// libxenevtchn on the fake machine: a channel's event is told once and then masked until it is unmasked.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

extern "C" {  // the headers do not say so
#include <xenevtchn.h>
}

#include "tests/unit/xen/fake_handles.hpp"
#include "tests/unit/xen/fake_xen.hpp"

using librettos::test::EventEnd;
using librettos::test::FakeXen;

struct xenevtchn_handle {
    int event_fd = -1;
    struct Port {
        bool pending = false;  // the guest notified while it was masked
        bool masked = false;   // told and not unmasked yet
    };
    std::map<int, Port> ports;
    std::deque<int> told;
};

namespace {

std::set<xenevtchn_handle*> handles;
int last_port = 40;

EventEnd* peer_of(int port) {
    for (auto& [at, end] : FakeXen::machine().events) {
        if (end.server_port == port)
            return &end;
    }
    return nullptr;
}

void tell(xenevtchn_handle& handle, int port) {
    auto& state = handle.ports.at(port);
    state.pending = state.masked;
    if (state.masked)
        return;
    state.masked = true;
    handle.told.push_back(port);
    (void)!eventfd_write(handle.event_fd, 1);
}

}  // namespace

namespace librettos::test {

void fake_event_arrived(int server_port) {
    for (auto* const handle : handles) {
        if (handle->ports.contains(server_port))
            tell(*handle, server_port);
    }
}

}  // namespace librettos::test

extern "C" {

xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned) {
    if (FakeXen::machine().fault("xenevtchn_open"))
        return nullptr;
    auto* const handle = new xenevtchn_handle;
    handle->event_fd = eventfd(0, EFD_CLOEXEC);
    handles.insert(handle);
    FakeXen::machine().open_event_handles++;
    return handle;
}

int xenevtchn_close(xenevtchn_handle* handle) {
    for (auto const& [port, state] : handle->ports) {
        if (auto* const peer = peer_of(port))
            peer->server_port = 0;
        FakeXen::machine().open_channels--;
    }
    handles.erase(handle);
    close(handle->event_fd);
    delete handle;
    FakeXen::machine().open_event_handles--;
    return 0;
}

int xenevtchn_fd(xenevtchn_handle* handle) {
    return handle->event_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle* handle, std::uint32_t domain,
                                                     evtchn_port_t remote) {
    auto& xen = FakeXen::machine();
    if (xen.fault("xenevtchn_bind_interdomain"))
        return -1;
    auto const found = xen.events.find({static_cast<std::uint16_t>(domain), remote});
    if (found == xen.events.end() || !found->second.open || found->second.to != xen.server ||
        found->second.server_port != 0) {
        errno = EINVAL;
        return -1;
    }
    int const port = ++last_port;
    found->second.server_port = port;
    handle->ports[port];
    xen.open_channels++;
    tell(*handle, port);  // Xen marks a channel pending when it is bound
    return port;
}

int xenevtchn_notify(xenevtchn_handle* handle, evtchn_port_t port) {
    if (FakeXen::machine().fault("xenevtchn_notify"))
        return -1;
    auto* const peer = handle->ports.contains(static_cast<int>(port)) ? peer_of(static_cast<int>(port)) : nullptr;
    if (peer == nullptr || !peer->open) {
        errno = EINVAL;
        return -1;
    }
    ++peer->received;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle* handle) {
    if (FakeXen::machine().fault("xenevtchn_pending"))
        return -1;
    if (handle->told.empty()) {
        errno = EAGAIN;  // a descriptor that blocks would wait for ever: fake_xen's tests set O_NONBLOCK or hang
        return -1;
    }
    int const port = handle->told.front();
    handle->told.pop_front();
    if (handle->told.empty()) {
        eventfd_t count;
        (void)!eventfd_read(handle->event_fd, &count);
    }
    return port;
}

int xenevtchn_unmask(xenevtchn_handle* handle, evtchn_port_t port) {
    if (FakeXen::machine().fault("xenevtchn_unmask"))
        return -1;
    auto& state = handle->ports.at(static_cast<int>(port));
    state.masked = false;
    if (state.pending)
        tell(*handle, static_cast<int>(port));
    return 0;
}
}
