// SPDX-License-Identifier: BSD-2-Clause
// What the server is told of: domains, devices made for it, their frontends; and nothing else.
#include <poll.h>

#include <algorithm>

#include "drivers/hypervisor/xen/attach_device.hpp"
#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

constexpr char domains[] = "/local/domain";
constexpr int standing_watches = 3;

class Watches : public OnXen {
  protected:
    void start(std::uint16_t server = 0) {
        xen.reset(server);
        hypervisor = std::make_unique<XenHypervisor>(std::make_unique<EmptyPortmap>());
        hypervisor->watch(domains);
    }
    ~Watches() override { hypervisor.reset(); }

    std::vector<std::string> changes() {
        std::vector<std::string> paths;
        for (auto taken = hypervisor->take_watch_events(); !taken.empty(); taken = hypervisor->take_watch_events()) {
            for (auto const& event : taken) {
                EXPECT_EQ(event.watched, domains);
                paths.push_back(event.changed);
            }
        }
        return paths;
    }
    static bool has(std::vector<std::string> const& paths, std::string const& path) {
        return std::find(paths.begin(), paths.end(), path) != paths.end();
    }
    // As the toolstack does it, also for a driver domain.
    void make_device(XenGuest const& guest) {
        auto const server = xen.server;
        xen.server = 0;
        {
            XenStore dom0;
            make_device_directories(dom0, DomId{server}, guest.domain, {{"domain", "web"}});
        }
        xen.server = server;
    }

    std::unique_ptr<XenHypervisor> hypervisor;
};

TEST_F(Watches, DomainsThatComeAndGo) {
    start();
    EXPECT_TRUE(has(changes(), domains)) << "at once";
    XenGuest const guest("web");
    EXPECT_EQ(changes(), std::vector<std::string>{domains});
    EXPECT_EQ(hypervisor->domains(), (std::vector{DomId{0}, guest.domain}));
    EXPECT_EQ(hypervisor->domain_name(guest.domain), "web");
    EXPECT_TRUE(hypervisor->domain_exists(guest.domain));
    guest.destroy();
    EXPECT_EQ(changes(), std::vector<std::string>{domains});
    EXPECT_FALSE(hypervisor->domain_exists(guest.domain));
}

TEST_F(Watches, FrontendIsFollowedWhileItsBackendDirectoryIsThere) {
    start();
    XenGuest const guest("web");
    (void)changes();
    guest.set_state(3);
    EXPECT_TRUE(changes().empty()) << "nobody attached it";
    xen.remove_node(guest.frontend());
    hypervisor->make_device(guest.domain, {});
    EXPECT_TRUE(has(changes(), guest.frontend() + "/state"));
    EXPECT_EQ(xen.open_watches, standing_watches + 1);
    guest.set_state(2);
    EXPECT_EQ(changes(), std::vector{guest.frontend() + "/state"});
    hypervisor->write(guest.backend() + "/state", "2");
    hypervisor->write(guest.backend() + "/mac", "02:00:00:00:00:01");
    guest.set("tx-ring", "5");
    xen.set_node("/local/domain/" + std::to_string(guest.domain.value) + "/data/noise", "1");
    EXPECT_TRUE(changes().empty()) << "what does not matter is not told";
    hypervisor->remove(guest.backend().substr(0, guest.backend().size() - 2));
    EXPECT_EQ(changes(), std::vector{"/local/domain/" + std::to_string(guest.domain.value)});
    EXPECT_EQ(xen.open_watches, standing_watches);
}

TEST_F(Watches, DescriptorIsReadableWhileThereAreEvents) {
    start();
    auto const readable = [&] {
        pollfd waiting{hypervisor->watch_fd(), POLLIN, 0};
        return poll(&waiting, 1, 0) == 1;
    };
    EXPECT_TRUE(readable());
    (void)changes();
    EXPECT_FALSE(readable());
    XenGuest const guest("web");
    EXPECT_TRUE(readable());
}

TEST_F(Watches, StormIsTakenInBoundedBursts) {
    start();
    XenGuest const guest("web");
    hypervisor->make_device(guest.domain, {});
    (void)changes();
    for (int n = 0; n < 10000; ++n)
        guest.set_state(n % 7);
    EXPECT_EQ(hypervisor->take_watch_events().size(), 256U);
}

TEST_F(Watches, AfterAnyNumberOfDevicesThereAreAsManyAsBefore) {
    start();
    for (int n = 0; n < 1000; ++n) {
        XenGuest const guest("web");
        make_device(guest);
        (void)changes();
        EXPECT_EQ(xen.open_watches, standing_watches + 1);
        guest.destroy();
        hypervisor->remove(guest.backend().substr(0, guest.backend().size() - 2));
        (void)changes();
        ASSERT_EQ(xen.open_watches, standing_watches);
    }
}

TEST_F(Watches, OldBackendDirectoriesAreFollowedFromTheStart) {
    start();
    XenGuest const guest("web");
    hypervisor->make_device(guest.domain, {});
    hypervisor = std::make_unique<XenHypervisor>(std::make_unique<EmptyPortmap>());
    hypervisor->watch(domains);
    (void)changes();
    guest.set_state(4);
    EXPECT_EQ(changes(), std::vector{guest.frontend() + "/state"});
}

TEST_F(Watches, BackendDirectoryOfAnotherFrontendIsNotFollowed) {
    start();
    XenGuest const guest("web");
    xen.set_node(guest.backend() + "/frontend", "/local/domain/0/data");
    xen.set_node("/local/domain/0/backend/lvif/007/0/frontend", "/local/domain/7/device/lvif/0");
    xen.set_node("/local/domain/0/backend/lvif/x/0/frontend", "/local/domain/7/device/lvif/0");
    (void)changes();
    EXPECT_EQ(xen.open_watches, standing_watches);
}

TEST_F(Watches, DriverDomainLearnsOfWhatTheToolstackMadeForIt) {
    start(3);
    xen.hides_domain_events = true;
    hypervisor = std::make_unique<XenHypervisor>(std::make_unique<EmptyPortmap>());
    hypervisor->watch(domains);
    EXPECT_EQ(hypervisor->self(), DomId{3});
    XenGuest const guest("web");
    XenGuest const stranger("stranger");
    (void)changes();
    make_device(guest);
    EXPECT_TRUE(has(changes(), guest.frontend() + "/state"));
    EXPECT_EQ(hypervisor->domains(), std::vector{guest.domain});
    EXPECT_EQ(hypervisor->domain_name(guest.domain), "web") << "from its backend directory";
    EXPECT_EQ(hypervisor->domain_name(stranger.domain), std::nullopt);
    EXPECT_EQ(hypervisor->read(guest.frontend() + "/state"), "1");
    hypervisor->write(guest.backend() + "/state", "2");
    EXPECT_EQ(errno_of([&] { hypervisor->make_device(stranger.domain, {}); }), ENOENT) << "dom0's to do";
    EXPECT_TRUE(hypervisor->domain_exists(guest.domain));
    guest.destroy();
    EXPECT_TRUE(has(changes(), guest.frontend() + "/state")) << "all that it sees of the end";
    EXPECT_FALSE(hypervisor->domain_exists(guest.domain));
    EXPECT_EQ(hypervisor->read(guest.frontend() + "/state"), std::nullopt);
}

TEST_F(Watches, RefusedWatchIsTriedAgainWithTheNextChange) {
    start();
    int followed = 0;
    for (std::uint64_t const n : {2U, 3U}) {  // after the event itself: reading the link, watching the frontend
        XenGuest const guest("web");
        (void)changes();
        hypervisor->make_device(guest.domain, {});
        xen.fail_call(n, ENOSPC);
        auto const faults = xen.faults;
        (void)changes();
        EXPECT_EQ(xen.faults, faults + 1);
        EXPECT_EQ(xen.open_watches, standing_watches + ++followed);
    }
}

TEST_F(Watches, OtherPathsAreWatchedAsTheyAre) {
    start();
    hypervisor->watch("/tool/x");
    auto const taken = hypervisor->take_watch_events();
    EXPECT_TRUE(std::any_of(taken.begin(), taken.end(), [](auto const& event) { return event.watched == "/tool/x"; }));
    hypervisor->unwatch("/tool/x");
    hypervisor->unwatch(domains);
    EXPECT_EQ(xen.open_watches, 0);
}

}  // namespace

}  // namespace librettos::test
