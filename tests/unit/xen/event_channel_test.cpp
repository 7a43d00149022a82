// SPDX-License-Identifier: BSD-2-Clause
// Event channels: one descriptor each, a storm costs one event, faults.
#include "drivers/hypervisor/xen/xen_event_channel.hpp"

#include <fcntl.h>
#include <poll.h>

#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

class Events : public OnXen {
  protected:
    static bool readable(XenEventChannel const& channel) {
        pollfd waiting{channel.fd(), POLLIN, 0};
        return poll(&waiting, 1, 0) == 1;
    }

    XenGuest guest{"web"};
    std::uint32_t port = xen.allocate_event(guest.domain.value);
};

TEST_F(Events, TellsOfTheGuestAndTheGuestOfUs) {
    XenEventChannel channel(guest.domain, {port});
    EXPECT_TRUE(fcntl(channel.fd(), F_GETFL) & O_NONBLOCK) << "clear() never waits";
    channel.clear();  // a channel is told once when it is bound
    EXPECT_FALSE(readable(channel));
    xen.notify_server(guest.domain.value, port);
    EXPECT_TRUE(readable(channel));
    channel.clear();
    EXPECT_FALSE(readable(channel));
    channel.clear();
    channel.notify();
    EXPECT_EQ(guest.notifications(), 1U);
}

TEST_F(Events, StormIsOneEventUntilItIsCleared) {
    XenEventChannel channel(guest.domain, {port});
    channel.clear();
    for (int n = 0; n < 100000; ++n)
        xen.notify_server(guest.domain.value, port);
    EXPECT_TRUE(readable(channel));
    auto const before = xen.calls;
    channel.clear();  // unmasks: what came meanwhile is told once more
    channel.clear();
    EXPECT_LE(xen.calls - before, 4U);
    EXPECT_FALSE(readable(channel));
}

TEST_F(Events, ChannelsDoNotMix) {
    auto const second_port = xen.allocate_event(guest.domain.value);
    XenEventChannel first(guest.domain, {port});
    XenEventChannel second(guest.domain, {second_port});
    first.clear();
    second.clear();
    EXPECT_NE(first.fd(), second.fd());
    EXPECT_NE(first.local_port(), second.local_port());
    xen.notify_server(guest.domain.value, second_port);
    EXPECT_FALSE(readable(first));
    EXPECT_TRUE(readable(second));
}

TEST_F(Events, OnlyAnUnboundPortForUsCanBeBound) {
    XenEventChannel const channel(guest.domain, {port});
    EXPECT_EQ(errno_of([&] { XenEventChannel(guest.domain, {port}); }), EINVAL) << "bound already";
    EXPECT_EQ(errno_of([&] { XenEventChannel(guest.domain, {port + 1}); }), EINVAL) << "none";
    auto const foreign = xen.allocate_event(guest.domain.value);
    xen.events.at({guest.domain.value, foreign}).to = 9;
    EXPECT_EQ(errno_of([&] { XenEventChannel(guest.domain, {foreign}); }), EINVAL) << "for another domain";
    EXPECT_EQ(xen.open_channels, 1);
    EXPECT_EQ(xen.open_event_handles, 1);
}

TEST_F(Events, NotifyingADeadGuestIsNoError) {
    XenEventChannel channel(guest.domain, {port});
    guest.destroy();
    channel.notify();
    channel.clear();
    EXPECT_EQ(guest.notifications(), 0U);
}

TEST_F(Events, EachCallMayFail) {
    for (std::uint64_t n = 1; n <= 2; ++n) {
        xen.fail_call(n, ENOSPC);
        EXPECT_EQ(errno_of([&] { XenEventChannel(guest.domain, {port}); }), ENOSPC);
        EXPECT_EQ(xen.open_event_handles, 0);
    }
}

}  // namespace

}  // namespace librettos::test
