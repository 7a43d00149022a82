// SPDX-License-Identifier: BSD-2-Clause
// One data thread, turned by hand: frames between an in-memory port and guests.
#include <arpa/inet.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <thread>

#include "daemon/engine/datapath/headers.hpp"
#include "tests/unit/dataplane/one_thread.hpp"
#include "tests/unit/eventually.hpp"

namespace librettos::test {
namespace {

TEST_F(DataThreadTest, FramesFromTheWireReachTheOwnerOfThePort) {
    TestGuest& web = serve(1, 0, {80});
    TestGuest& db = serve(2, 0, {5432});
    Bytes const to_web = make_frame(world->inbound(80));
    Bytes const to_db = make_frame(world->inbound(5432));
    world->arrive(to_db);
    world->arrive(to_web);
    world->arrive(to_db);
    turn();
    auto const web_got = web.receive();
    auto const db_got = db.receive();
    ASSERT_EQ(web_got.size(), 1U);
    ASSERT_EQ(db_got.size(), 2U);
    EXPECT_EQ(web_got[0].frame, to_web);
    EXPECT_EQ(db_got[1].frame, to_db);
    EXPECT_EQ(world->count(1, Counter::to_guest_frames), 1U);
    EXPECT_EQ(world->count(2, Counter::to_guest_bytes), 2 * to_db.size());
    EXPECT_EQ(world->buffers_in_use(), 0U);
}

TEST_F(DataThreadTest, FramesFromAGuestGoToTheWireAndCostItNothingWhenTheyLie) {
    TestGuest& guest = serve(1, 0, {80});
    Bytes const good = make_frame(world->outbound(80));
    Bytes const foreign_port = make_frame(world->outbound(81));
    ASSERT_TRUE(guest.send(good));
    ASSERT_TRUE(guest.send(foreign_port));
    ASSERT_TRUE(guest.send(good));
    turn();
    auto const sent = world->sent();
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent[0], good);
    EXPECT_EQ(world->count(1, Counter::drop_foreign_port), 1U);
    EXPECT_EQ(world->count(wire_slot, Counter::wire_tx_frames), 2U);
    EXPECT_EQ(guest.tx_header().tail, guest.tx_header().head);
}

TEST_F(DataThreadTest, TheTagOfTheWireIsNotSeenByGuests) {
    network_.vlan = 7;
    TestGuest& guest = serve(1, 0, {80});
    Bytes const plain = make_frame(world->inbound(80));
    Bytes tagged = plain;
    Bytes const tag{0x81, 0x00, 0x00, 0x07};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    world->arrive(tagged);
    world->arrive(plain);
    turn();
    auto const got = guest.receive();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].frame, plain);
    EXPECT_EQ(world->count(wire_slot, Counter::drop_vlan), 1U);
    Bytes const answer = make_frame(world->outbound(80));
    guest.send(answer);
    turn();
    auto const sent = world->sent();
    ASSERT_EQ(sent.size(), 1U);
    Bytes tagged_answer = answer;
    tagged_answer.insert(tagged_answer.begin() + 12, tag.begin(), tag.end());
    EXPECT_EQ(sent[0], tagged_answer);
}

TEST_F(DataThreadTest, APriorityTagStaysBehind) {
    TestGuest& guest = serve(1, 0, {80});
    Bytes const plain = make_frame(world->inbound(80));
    Bytes tagged = plain;
    Bytes const priority{0x81, 0x00, 0xa0, 0x00};
    tagged.insert(tagged.begin() + 12, priority.begin(), priority.end());
    world->arrive(tagged);
    turn();
    auto const got = guest.receive();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].frame, plain);
}

TEST_F(DataThreadTest, GuestsReachEachOtherWithoutTheWire) {
    TestGuest shared(1, 0);
    TestGuest own_address(2, 0);
    own_address.identity.mode = GuestMode::dedicated;
    own_address.identity.mac = {{2, 0, 0, 0, 0, 9}};
    own_address.identity.ipv4.be = htonl(0x0a000009);
    world->own(1, 80);
    add(shared, 1);
    add(own_address, 2);
    FrameSpec spec = world->outbound(80);
    spec.destination = 0x0a000009;
    spec.destination_mac = own_address.identity.mac;
    Bytes const frame = make_frame(spec);
    shared.send(frame);
    turn();
    auto const got = own_address.receive();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].frame, frame);
    EXPECT_TRUE(world->sent().empty());
    EXPECT_EQ(world->count(1, Counter::switched_frames), 1U);
}

TEST_F(DataThreadTest, LargeFramesAreCutForTheWire) {
    TestGuest& guest = serve(1, LVIF_F_ALL, {80});
    FrameSpec spec = world->outbound(80);
    spec.protocol = protocol::tcp;
    spec.payload_bytes = 10'000;
    Bytes frame = make_frame(spec);
    lvif_record offload{};
    offload.flags = LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4;
    offload.csum_start = 34;
    offload.csum_offset = 16;
    offload.gso_size = 1460;
    offload.header_length = 54;
    ASSERT_TRUE(guest.send(frame, offload));
    turn();
    auto const sent = world->sent();
    ASSERT_EQ(sent.size(), 7U);
    std::size_t payload = 0;
    for (Bytes const& segment : sent) {
        EXPECT_TRUE(checksums_hold(segment));
        EXPECT_LE(segment.size(), 1514U);
        EXPECT_EQ(load_be32(segment.data() + 38), payload);
        payload += segment.size() - 54;
    }
    EXPECT_EQ(payload, 10'000U);
}

TEST_F(DataThreadTest, OffloadThatWasNotAgreedIsRefused) {
    TestGuest& guest = serve(1, 0, {80});
    lvif_record offload{};
    offload.flags = LVIF_CSUM_PARTIAL;
    offload.csum_start = 34;
    offload.csum_offset = 6;
    guest.send(make_frame(world->outbound(80)), offload);
    turn();
    EXPECT_TRUE(world->sent().empty());
    EXPECT_EQ(world->count(1, Counter::drop_bad_offload), 1U);
}

TEST_F(DataThreadTest, SegmentsOfAFlowBecomeOneFrame) {
    TestGuest& guest = serve(1, LVIF_F_ALL, {80});
    FrameSpec spec = world->inbound(80);
    spec.protocol = protocol::tcp;
    spec.payload_bytes = 1400;
    for (int i = 0; i < 5; ++i) {
        spec.fill = static_cast<std::uint8_t>(i);
        spec.tcp_flags = i == 4 ? 0x18 : 0x10;
        world->arrive(make_frame(spec));
        spec.sequence += 1400;
    }
    turn();
    auto const got = guest.receive();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].frame.size(), 54U + 5 * 1400);
    EXPECT_EQ(got[0].record.flags, LVIF_CSUM_PARTIAL | LVIF_GSO_TCP4);
    EXPECT_EQ(got[0].record.gso_size, 1400);
    EXPECT_EQ(got[0].frame[54 + 4 * 1400], 4);
    EXPECT_EQ(world->count(1, Counter::coalesced_frames), 4U);
}

TEST_F(DataThreadTest, DamagedSegmentsAreNotMerged) {
    TestGuest& guest = serve(1, LVIF_F_ALL, {80});
    FrameSpec spec = world->inbound(80);
    spec.protocol = protocol::tcp;
    spec.payload_bytes = 1400;
    world->arrive(make_frame(spec));
    spec.sequence += 1400;
    Bytes damaged = make_frame(spec);
    damaged[700] ^= 1;
    world->arrive(damaged);
    turn();
    auto const got = guest.receive();
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(got[1].frame, damaged);
    EXPECT_EQ(got[1].record.flags & LVIF_CSUM_OK, 0);
}

TEST_F(DataThreadTest, AFullRingDropsAndServesTheOthers) {
    TestGuest& slow = serve(1, 0, {80});
    TestGuest& other = serve(2, 0, {81});
    FrameSpec spec = world->inbound(80);
    spec.payload_bytes = 1400;
    Bytes const large = make_frame(spec);
    for (int i = 0; i < 100; ++i) {
        world->arrive(large);
        world->arrive(make_frame(world->inbound(81)));
        turn();
    }
    EXPECT_GT(world->count(1, Counter::drop_ring_full), 40U);
    EXPECT_EQ(other.receive().size(), 100U);
    EXPECT_EQ(world->count(1, Counter::drop_ring_full) + slow.receive().size(), 100U);
}

TEST_F(DataThreadTest, AGuestThatBreaksItsRingIsReportedAndOthersGoOn) {
    TestGuest& hostile = serve(1, 0, {80});
    TestGuest& other = serve(2, 0, {81});
    hostile.tx_header().head = 1ULL << 40;
    other.send(make_frame(world->outbound(81)));
    turn();
    DataAck ack;
    ASSERT_TRUE(thread_->acknowledgements.pop(ack));
    EXPECT_EQ(ack.kind, DataAck::Kind::broken);
    EXPECT_EQ(ack.slot, 1);
    EXPECT_EQ(world->sent().size(), 1U);
    world->arrive(make_frame(world->inbound(80)));
    turn(10);
    EXPECT_EQ(world->count(1, Counter::drop_guest_gone), 1U);
    EXPECT_FALSE(thread_->acknowledgements.pop(ack)) << "reported once only";
}

TEST_F(DataThreadTest, ARateLimitLeavesFramesInTheRing) {
    TestGuest& guest = serve(1, 0, {80});
    guests_[0]->limiter.set(1000, 0);  // 10 frames at once, then one a millisecond
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(guest.send(make_frame(world->outbound(80))));
    }
    turn();
    std::size_t const at_once = world->sent().size();
    EXPECT_GE(at_once, 10U);
    EXPECT_LE(at_once, 12U);
    std::size_t total = at_once;
    eventually([&] {
        turn(32);
        thread_->housekeeping();
        total += world->sent().size();
        return total >= 100;
    });
    EXPECT_EQ(total, 100U) << "nothing was dropped";
    EXPECT_GT(world->count(1, Counter::throttled), 0U);
}

TEST_F(DataThreadTest, DoorbellsOnlyForThoseWhoSleep) {
    TestGuest& awake = serve(1, 0, {80});
    TestGuest& sleeper = serve(2, 0, {81});
    sleeper.rx_header().consumer_sleeps = 1;
    for (int i = 0; i < 5; ++i) {
        world->arrive(make_frame(world->inbound(80)));
        world->arrive(make_frame(world->inbound(81)));
    }
    turn();
    EXPECT_EQ(awake.channel().notified(), 0);
    EXPECT_EQ(sleeper.channel().notified(), 1) << "one for the burst";
}

TEST_F(DataThreadTest, AnIdleQueueIsArmedAndWokenByItsDoorbell) {
    TestGuest& guest = serve(1, 0, {80});
    turn(100);
    EXPECT_EQ(guest.tx_header().consumer_sleeps, 0U) << "a thread without work looks at all it has looked at";
    serve(2, 0, {81});
    for (int i = 0; i < 70; ++i) {
        world->arrive(make_frame(world->inbound(81)));
        turn();
    }
    EXPECT_EQ(guest.tx_header().consumer_sleeps, 1U) << "one with work does not";
    guest.send(make_frame(world->outbound(80)));
    turn();
    EXPECT_TRUE(world->sent().empty()) << "nobody looked: the doorbell has not been heard yet";
    thread_->housekeeping();
    turn();
    EXPECT_EQ(world->sent().size(), 1U);
    EXPECT_EQ(guest.tx_header().consumer_sleeps, 0U);
}

TEST_F(DataThreadTest, ADoorbellStormIsMuted) {
    TestGuest& guest = serve(1, 0, {80});
    for (int i = 0; i < 60'000; ++i) {
        guest.channel().ring();
        thread_->housekeeping();
    }
    EXPECT_LT(world->count(1, Counter::doorbells_received), 59'000U);
    guest.send(make_frame(world->outbound(80)));
    std::size_t sent = 0;
    eventually([&] {
        turn();
        thread_->housekeeping();
        sent = world->sent().size();
        return sent != 0;
    });
    EXPECT_EQ(sent, 1U) << "muted, not lost";
}

// Commands are taken after a turn, and with every 32nd one once more: here at both places in the same round.
TEST_F(DataThreadTest, AStopIsKeptUntilTheLoopEnds) {
    DataThreadSetup setup = world->setup();
    setup.poll_us = 0;
    thread_ = std::make_unique<DataThread>(setup, network_, world->portmap(), ack_fd_);
    turn(31);
    DataCommand const stop{DataCommand::Kind::stop, wire_slot, nullptr, nullptr};
    thread_->commands.push(stop);
    auto run = std::async(std::launch::async, [this] { thread_->run(); });
    bool const ended = run.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    EXPECT_TRUE(ended);
    while (run.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
        thread_->commands.push(stop);
        thread_->wake();
    }
}

TEST_F(DataThreadTest, BuffersOfADeadPredecessorAreTakenOver) {
    serve(1, 0, {80});
    InFlight& left = world->setup().in_flight[0];
    Bytes const ready = make_frame(world->outbound(80));
    for (std::uint32_t i = 0; i < 40; ++i) {
        left.rx[i] = rte_pktmbuf_alloc(world->pool());
    }
    left.rx_first = 32;  // these were given back already
    for (std::uint32_t i = 0; i < 32; ++i) {
        rte_pktmbuf_free(left.rx[i]);
    }
    left.rx_end = 40;
    rte_mbuf* const buffer = rte_pktmbuf_alloc(world->pool());
    std::memcpy(rte_pktmbuf_append(buffer, static_cast<std::uint16_t>(ready.size())), ready.data(), ready.size());
    left.tx_first = 511;  // the place wraps
    left.tx_end = 512;
    left.tx[511] = buffer;
    thread_.reset();
    start();
    turn();
    auto const sent = world->sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0], ready);
    EXPECT_EQ(world->buffers_in_use(), 0U);
}

TEST_F(DataThreadTest, UnownedPortsAreAnsweredOnTheWire) {
    start();
    FrameSpec spec = world->inbound(9);
    spec.protocol = protocol::tcp;
    spec.tcp_flags = 0x02;
    world->arrive(make_frame(spec));
    turn();
    auto const sent = world->sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(checksums_hold(sent[0]));
    EXPECT_EQ(sent[0][47] & 0x04, 0x04) << "RST";
    EXPECT_EQ(world->count(wire_slot, Counter::replies), 1U);
}

// The NIC's word is `steered`, and `awaited` what it says when frames go to the guest's VF.
class SteeredDataThreadTest : public DataThreadTest {
  protected:
    static constexpr std::uint64_t awaited = 5;
    static constexpr std::uint32_t serial = 9;
    void watch(Slot slot) {
        command({.kind = DataCommand::Kind::direct, .slot = slot, .direct = true});
        command({.kind = DataCommand::Kind::watch_steering,
                 .slot = slot,
                 .mark = serial,
                 .steered = &steered,
                 .awaited = awaited});
    }
    void command(DataCommand const& what) {
        thread_->commands.push(what);
        thread_->housekeeping();
    }
    bool is_marked_soon(TestGuest& guest) {
        return eventually([&] {
            turn();
            return guest.rx_header(0).mark == serial;
        });
    }
    std::atomic<std::uint64_t> steered{0};
    Bytes const frame = make_frame(world->inbound(80));
};

TEST_F(SteeredDataThreadTest, TheRingIsMarkedOnceItHasWhatCameBeforeTheNicObeyed) {
    TestGuest& guest = serve(1, 0, {80});
    watch(1);
    world->arrive(frame);
    turn(1000);
    EXPECT_EQ(guest.rx_header(0).mark, 0U) << "another request's word is not ours";
    world->arrive(frame);
    steered = awaited;
    turn();
    EXPECT_EQ(guest.rx_header(0).mark, 0U) << "what the NIC had taken in may come yet";
    world->arrive(frame);
    auto const rung = guest.channel(0).notified();
    ASSERT_TRUE(is_marked_soon(guest));
    EXPECT_EQ(guest.receive().size(), 3U);
    EXPECT_GT(guest.channel(0).notified(), rung);
    guest.rx_header(0).mark = 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    turn(10);
    EXPECT_EQ(guest.rx_header(0).mark, 0U) << "once";
}

TEST_F(SteeredDataThreadTest, NothingIsMarkedForOneThatIsNotSwitchedAnyMore) {
    TestGuest& guest = serve(1, 0, {80});
    TestGuest& gone = serve(2, 0, {81});
    watch(1);
    watch(2);
    command({.kind = DataCommand::Kind::direct, .slot = 1, .direct = false});
    command({.kind = DataCommand::Kind::remove, .slot = 2});
    steered = awaited;
    turn();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    turn(10);
    EXPECT_EQ(guest.rx_header(0).mark, 0U);
    EXPECT_EQ(gone.rx_header(0).mark, 0U);
    watch(1);
    EXPECT_TRUE(is_marked_soon(guest)) << "begun again";
}

TEST_F(SteeredDataThreadTest, ADrainNeedsNoWordOfTheNic) {
    TestGuest& guest = serve(1, 0, {80});
    watch(1);
    world->arrive(frame);
    command({.kind = DataCommand::Kind::drain, .slot = 1, .mark = serial});
    turn();
    EXPECT_EQ(guest.rx_header(0).mark, serial);
    EXPECT_EQ(guest.receive().size(), 1U);
}

}  // namespace
}  // namespace librettos::test
