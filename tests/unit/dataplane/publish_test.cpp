// SPDX-License-Identifier: BSD-2-Clause
// When guests see what was put into their rings, while the wire has more than a turn takes.
#include "tests/unit/dataplane/one_thread.hpp"

namespace librettos::test {
namespace {

class PublicationTest : public DataThreadTest {
  protected:
    // A whole burst for ports 80 and 81 in turn.
    void burst_arrives() {
        for (std::uint32_t i = 0; i < InFlight::wire_burst; ++i) {
            world->arrive(make_frame(world->inbound(static_cast<std::uint16_t>(80 + i % 2))));
        }
    }
};

TEST_F(PublicationTest, TheTurnThatEmptiesTheWirePublishesAll) {
    TestGuest& first = serve(1, 0, {80});
    TestGuest& second = serve(2, 0, {81});
    burst_arrives();
    turn();
    burst_arrives();
    turn();
    world->arrive(make_frame(world->inbound(80)));
    turn();
    EXPECT_EQ(first.receive().size(), InFlight::wire_burst + 1);
    EXPECT_EQ(second.receive().size(), InFlight::wire_burst);
    EXPECT_EQ(world->count(1, Counter::to_guest_frames), InFlight::wire_burst + 1);
    EXPECT_EQ(world->count(wire_slot, Counter::drop_ring_full), 0U);
}

TEST_F(PublicationTest, ARingThatFillsIsPublishedInMidTurn) {
    TestGuest& guest = serve(1, 0, {80, 81});
    __atomic_store_n(&guest.rx_header().consumer_sleeps, 1U, __ATOMIC_RELAXED);
    burst_arrives();
    burst_arrives();
    turn(2);  // the second one within the time that a publication may wait, on a machine that is not very slow
    std::size_t const record = lvif_record_bytes(static_cast<std::uint32_t>(make_frame(world->inbound(80)).size()));
    ASSERT_GT(InFlight::wire_burst * record, TestGuest::capacity / 4);
    EXPECT_GE(guest.receive().size(), InFlight::wire_burst + TestGuest::capacity / 4 / record);
    EXPECT_GE(guest.channel().notified(), 2);
}

TEST_F(PublicationTest, NothingStaysBehindWhenTheThreadEnds) {
    TestGuest& first = serve(1, 0, {80});
    TestGuest& second = serve(2, 0, {81});
    burst_arrives();
    turn();
    thread_->commands.push({DataCommand::Kind::stop, wire_slot, nullptr, nullptr});
    thread_->run();
    EXPECT_EQ(first.receive().size() + second.receive().size(), InFlight::wire_burst);
}

}  // namespace
}  // namespace librettos::test
