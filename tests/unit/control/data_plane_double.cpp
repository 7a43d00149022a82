// SPDX-License-Identifier: BSD-2-Clause
// DataPlane, for the control thread's tests.
#include "tests/unit/control/data_plane_double.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace librettos {

struct DataPlane::State {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
};

namespace test {

namespace {

PlaneView view;
std::vector<DataEvent> pending;
int event_fd_of_plane = -1;

void tell(DataEvent event) {
    pending.push_back(event);
    std::uint64_t const one = 1;
    if (write(event_fd_of_plane, &one, sizeof one) != sizeof one)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

void mark(GuestAttachment const& guest, bool in_use) {
    if (view.world == nullptr)
        return;
    for (auto const& queue : guest.queues) {
        for (auto const* const start : {queue.tx_ring.data(), queue.rx_ring.data()}) {
            if (in_use)
                view.world->in_use.insert(start);
            else
                view.world->in_use.erase(start);
        }
    }
}

void finish_removal(Slot slot) {
    mark(view.guests.at(slot), false);
    view.guests.erase(slot);
    view.letting_go.erase(slot);
    tell({DataEvent::Kind::removed, slot});
}

}  // namespace

PlaneView& plane() {
    return view;
}

void plane_breaks(Slot slot, char const* reason) {
    tell({DataEvent::Kind::broken, slot, reason});
}

void plane_drained(Slot slot) {
    if (view.draining.erase(slot) != 0)
        tell({DataEvent::Kind::drained, slot, "", 7});
}

void plane_lets_go() {
    for (auto const slot : std::set<Slot>(view.letting_go))
        finish_removal(slot);
}

}  // namespace test

using test::event_fd_of_plane;
using test::view;

DataPlane::DataPlane(EngineBoot const&, NetworkIdentity const&, lvif_portmap const&)
    : state_(std::make_unique<State>()) {
    event_fd_of_plane = state_->fd;
    view.guests.clear();
    view.letting_go.clear();
    view.direct.clear();
    view.draining.clear();
    test::pending.clear();
    ++view.planes;
}

DataPlane::~DataPlane() {
    for (auto const& [slot, guest] : view.guests)
        test::mark(guest, false);
    view.guests.clear();
    close(state_->fd);
    --view.planes;
}

Slot DataPlane::add_guest(GuestAttachment const& guest) {
    for (Slot slot = 1; slot <= view.slots; ++slot) {
        if (view.guests.contains(slot))
            continue;
        view.direct.erase(slot);
        view.draining.erase(slot);
        view.guests[slot] = guest;
        view.limits[slot] = guest.limit;
        test::mark(guest, true);
        test::tell({DataEvent::Kind::added, slot});
        return slot;
    }
    throw std::system_error(ENOSPC, std::generic_category(), "all slots are taken");
}

void DataPlane::remove_guest(Slot slot) {
    if (!view.guests.contains(slot) || !view.letting_go.insert(slot).second)
        throw std::logic_error("removed twice, or never added");
    if (!view.hold_removals)
        test::finish_removal(slot);
}

void DataPlane::set_limit(Slot slot, RateLimit limit) {
    view.limits[slot] = limit;
}
void DataPlane::set_network(NetworkIdentity const&) {
}
void DataPlane::set_direct(Slot slot, bool direct) {
    view.direct[slot] = direct;
}
void DataPlane::drain(Slot slot, std::uint32_t mark) {
    view.marks[slot] = mark;
    if (view.hold_drains)
        view.draining.insert(slot);
    else
        test::tell({DataEvent::Kind::drained, slot, "", 7});
}
void DataPlane::watch_steering(Slot slot, std::uint16_t vf, std::uint32_t request, std::uint32_t mark) {
    view.watched[slot] = {vf, request, mark};
}
RingTraffic DataPlane::traffic(Slot slot) const {
    return view.traffic[slot];
}
void DataPlane::release_unclaimed_slots() {
    ++view.released_unclaimed;
}
int DataPlane::event_fd() const {
    return state_->fd;
}

std::vector<DataEvent> DataPlane::take_events() {
    std::uint64_t value;
    if (read(state_->fd, &value, sizeof value) != sizeof value && errno != EAGAIN)
        throw std::system_error(errno, std::generic_category(), "eventfd");
    return std::exchange(test::pending, {});
}

}  // namespace librettos
