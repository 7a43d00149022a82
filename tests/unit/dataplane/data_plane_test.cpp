// SPDX-License-Identifier: BSD-2-Clause
// Data threads that run by themselves, with the control side around them.
#include <poll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "daemon/engine/datapath/headers.hpp"
#include "tests/unit/dataplane/world.hpp"
#include "tests/unit/eventually.hpp"

namespace librettos::test {
namespace {

using namespace std::chrono_literals;

bool awaits(DataPlane& plane, DataEvent::Kind kind, Slot slot) {
    return eventually([&] {
        auto const events = plane.take_events();
        return std::any_of(events.begin(), events.end(),
                           [&](DataEvent const& event) { return event.kind == kind && event.slot == slot; });
    });
}

std::size_t open_descriptors() {
    auto const entries = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

class DataPlaneTest : public testing::TestWithParam<std::uint16_t> {
  protected:
    void SetUp() override { world->reset(); }
    // A frame for port 80; by its number at another queue of the port, and for another queue pair of the guest.
    static void arrive(std::uint16_t number) {
        FrameSpec spec = world->inbound(80);
        spec.source_port = static_cast<std::uint16_t>(1000 + number);
        world->arrive(make_frame(spec), static_cast<std::uint16_t>(number % GetParam()));
    }
};

TEST_P(DataPlaneTest, ServesSleepsAndWakes) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, LVIF_F_ALL, 2);
    world->own(1, 80);
    Slot const slot = plane.add_guest(guest.attachment("web"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    std::size_t got = 0;
    for (std::uint16_t i = 0; i < 50; ++i) {
        arrive(i);
        ASSERT_TRUE(eventually([&] { return (got += guest.receive().size()) == std::size_t{i} + 1; })) << i;
    }
    ASSERT_TRUE(eventually([&] { return boot.stats->thread[0].sleeping.load() == 1; })) << "an idle thread sleeps";
    auto const traffic = plane.traffic(slot);
    EXPECT_EQ(traffic.to_frames, 50U);
    EXPECT_EQ(traffic.to_bytes, 50 * make_frame(world->inbound(80)).size());
    EXPECT_EQ(traffic.from_frames, 0U);
    std::size_t sent = 0;
    for (std::size_t i = 0; i < 50; ++i) {
        ASSERT_TRUE(guest.send(make_frame(world->outbound(80)), {}, i % 2));
        ASSERT_TRUE(eventually([&] { return (sent += world->sent(0).size() + world->sent(1).size()) == i + 1; })) << i;
    }
    plane.remove_guest(slot);
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::removed, slot));
}

TEST_P(DataPlaneTest, ComingAndGoingLeavesNothingBehind) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0);
    std::size_t const descriptors = open_descriptors();
    for (int i = 0; i < 1000; ++i) {
        Slot const slot = plane.add_guest(guest.attachment("churn"));
        ASSERT_EQ(slot, 1) << "slots are reused";
        plane.remove_guest(slot);
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::removed, slot));
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_EQ(world->buffers_in_use(), 0U);
}

TEST_P(DataPlaneTest, AGuestKeepsItsSlotAndCountersAcrossEngines) {
    EngineBoot const boot = world->boot(GetParam());
    TestGuest first(1, 0);
    TestGuest second(2, 0);
    world->own(2, 80);
    {
        DataPlane plane(boot, world->network(), world->portmap());
        plane.add_guest(first.attachment("first"));
        Slot const slot = plane.add_guest(second.attachment("second"));
        ASSERT_EQ(slot, 2);
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
        world->arrive(make_frame(world->inbound(80)));
        ASSERT_TRUE(eventually([&] { return !second.receive().empty(); }));
    }
    DataPlane plane(boot, world->network(), world->portmap());
    ASSERT_EQ(plane.add_guest(second.attachment("second")), 2);
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, 2));
    plane.release_unclaimed_slots();
    EXPECT_EQ(world->count(2, Counter::to_guest_frames), 1U);
    world->arrive(make_frame(world->inbound(80)));
    ASSERT_TRUE(eventually([&] { return !second.receive().empty(); })) << "goes on in the same ring";
}

// What a crash in the middle of a guest's frames leaves in the shared memory, as often as engines crashed.
TEST_P(DataPlaneTest, AGuestWhoseFramesCrashEnginesIsRefused) {
    EngineBoot boot = world->boot(GetParam());
    boot.after_crash = true;
    TestGuest poisonous(1, 0);
    TestGuest honest(2, 0);
    for (int crash = 0; crash < 3; ++crash) {
        DataPlane plane(boot, world->network(), world->portmap());
        ASSERT_EQ(plane.add_guest(poisonous.attachment("poisonous")), 1) << "after " << crash << " crashes";
        ASSERT_EQ(plane.add_guest(honest.attachment("honest")), 2);
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, 2));
        boot.in_flight[0].serving = 1;
    }
    {
        DataPlane plane(boot, world->network(), world->portmap());
        EXPECT_THROW(plane.add_guest(poisonous.attachment("poisonous")), std::system_error);
        EXPECT_EQ(plane.add_guest(honest.attachment("honest")), 2);
    }
    TestGuest next(3, 0);
    DataPlane plane(boot, world->network(), world->portmap());
    plane.release_unclaimed_slots();
    EXPECT_EQ(plane.add_guest(next.attachment("next")), 1) << "the slot is nobody's fault";
}

// Each round frames are put where the port keeps them, over all of its queues, and not a moment is waited.
TEST_P(DataPlaneTest, ADrainedWireIsInTheRings) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0, 2);
    world->own(1, 80);
    Slot const slot = plane.add_guest(guest.attachment("web"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    for (std::uint16_t round = 0; round < 50; ++round) {
        for (std::uint16_t i = 0; i < 30; ++i) {
            arrive(i);
        }
        plane.drain(slot, 0);
        std::uint64_t frames = 0;
        ASSERT_TRUE(eventually([&] {
            auto const events = plane.take_events();
            for (DataEvent const& event : events) {
                frames += event.frames;
            }
            return std::any_of(events.begin(), events.end(),
                               [](DataEvent const& event) { return event.kind == DataEvent::Kind::drained; });
        }));
        ASSERT_EQ(guest.receive().size(), 30U) << "round " << round;
        EXPECT_LE(frames, 30U);
    }
}

TEST_P(DataPlaneTest, DrainsAreToldOnceAndNotToTheNextGuest) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0);
    auto const drained = [&](std::vector<DataEvent> const& events) {
        return std::count_if(events.begin(), events.end(),
                             [](DataEvent const& event) { return event.kind == DataEvent::Kind::drained; });
    };
    for (int round = 0; round < 100; ++round) {
        Slot const slot = plane.add_guest(guest.attachment("web"));
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
        for (int again = 0; again < 3; ++again) {
            plane.set_direct(slot, again % 2 == 0);
            plane.drain(slot, 0);
        }
        if (round % 2 == 0) {
            ASSERT_TRUE(awaits(plane, DataEvent::Kind::drained, slot));
        }
        plane.remove_guest(slot);
        std::ptrdiff_t more = 0;
        ASSERT_TRUE(eventually([&] {
            auto const events = plane.take_events();
            more += drained(events);
            return std::any_of(events.begin(), events.end(),
                               [](DataEvent const& event) { return event.kind == DataEvent::Kind::removed; });
        }));
        EXPECT_LE(more, round % 2 == 0 ? 0 : 1);
    }
    Slot const slot = plane.add_guest(guest.attachment("next"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(drained(plane.take_events()), 0);
    plane.drain(slot, 0);
    EXPECT_TRUE(awaits(plane, DataEvent::Kind::drained, slot));
}

// A guest goes by the mark of each ring, not by what the control thread hears.
TEST_P(DataPlaneTest, AMarkedRingHasWhatTheWireHad) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0, 2);
    world->own(1, 80);
    Slot const slot = plane.add_guest(guest.attachment("web"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    for (std::uint32_t serial = 1; serial <= 50; ++serial) {
        for (std::uint16_t i = 0; i < 30; ++i) {
            arrive(i);
        }
        plane.drain(slot, serial);
        auto const is_marked = [&](std::size_t queue) {
            return __atomic_load_n(&guest.rx_header(queue).mark, __ATOMIC_ACQUIRE) == serial;
        };
        ASSERT_TRUE(eventually([&] {
            bool const marked = is_marked(0) && is_marked(1);
            EXPECT_TRUE(!marked || guest.receive().size() == 30U) << "switch " << serial;
            plane.take_events();
            return marked;
        }));
    }
    EXPECT_TRUE(eventually([&] { return guest.channel(0).notified() >= 50 && guest.channel(1).notified() >= 50; }));
}

// The data thread is asleep when the NIC obeys, and nobody wakes it.
TEST(OneDataThread, MarksWhenTheNicHasObeyed) {
    world->reset();
    std::array<std::atomic<std::uint64_t>, 2> steered{};
    EngineBoot boot = world->boot(1);
    boot.steered = steered;
    boot.generation = 3;
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0);
    world->own(1, 80);
    Slot const slot = plane.add_guest(guest.attachment("web"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    auto const mark = [&] { return __atomic_load_n(&guest.rx_header(0).mark, __ATOMIC_ACQUIRE); };
    for (std::uint32_t serial = 1; serial <= 50; ++serial) {
        std::uint32_t const request = 100 + serial;
        plane.set_direct(slot, true);
        plane.watch_steering(slot, 1, request, serial);
        plane.watch_steering(slot, 7, request, 1000);  // there is no such VF
        std::this_thread::sleep_for(2ms);
        EXPECT_EQ(mark(), serial - 1);
        for (std::uint16_t i = 0; i < 30; ++i) {
            world->arrive(make_frame(world->inbound(80)));
        }
        steered[1] = steering_word(boot.generation, request);
        ASSERT_TRUE(eventually([&] { return mark() == serial; }));
        EXPECT_EQ(guest.receive().size(), 30U) << "switch " << serial;
        plane.drain(slot, serial);
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::drained, slot));
        plane.set_direct(slot, false);
    }
}

// What comes back to the port may find a thread that sleeps because nothing came for long.
TEST(OneDataThread, LooksOftenWhileTheNicSteers) {
    world->reset();
    std::atomic<std::uint64_t> steered{0};
    EngineBoot boot = world->boot(1);
    boot.steered = {&steered, 1};
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0);
    Slot const slot = plane.add_guest(guest.attachment("web"));
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    plane.set_direct(slot, true);
    auto const turns_in_50_ms = [&] {
        auto const before = boot.stats->thread[0].turns.load();
        std::this_thread::sleep_for(50ms);
        return boot.stats->thread[0].turns.load() - before;
    };
    std::uint64_t const idle = turns_in_50_ms();
    EXPECT_TRUE(eventually([&] {
        plane.watch_steering(slot, 0, 1, 0);
        return turns_in_50_ms() > 3 * idle;
    })) << idle;
}

TEST_P(DataPlaneTest, AnEngineBeginsWithoutMarks) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0, 2);
    guest.rx_header(0).mark = guest.rx_header(1).mark = 7;
    Slot const slot = plane.add_guest(guest.attachment("web"));
    EXPECT_EQ(guest.rx_header(0).mark, 0U);
    EXPECT_EQ(guest.rx_header(1).mark, 0U);
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, slot));
    plane.drain(slot, 0);
    ASSERT_TRUE(awaits(plane, DataEvent::Kind::drained, slot));
    EXPECT_EQ(guest.rx_header(0).mark, 0U);
}

TEST_P(DataPlaneTest, KillsFromOutsideAreNobodysFault) {
    EngineBoot const boot = world->boot(GetParam());
    TestGuest guest(1, 0);
    for (int kill = 0; kill < 10; ++kill) {
        DataPlane plane(boot, world->network(), world->portmap());
        ASSERT_EQ(plane.add_guest(guest.attachment("busy")), 1);
        ASSERT_TRUE(awaits(plane, DataEvent::Kind::added, 1));
        boot.in_flight[0].serving = 1;
    }
}

TEST_P(DataPlaneTest, ARingWithImpossiblePositionsIsRefused) {
    EngineBoot const boot = world->boot(GetParam());
    DataPlane plane(boot, world->network(), world->portmap());
    TestGuest guest(1, 0);
    guest.rx_header().tail = 16;  // ahead of head
    EXPECT_THROW(plane.add_guest(guest.attachment("liar")), std::system_error);
}

INSTANTIATE_TEST_SUITE_P(Threads, DataPlaneTest, testing::Values(1, 2));

}  // namespace
}  // namespace librettos::test
