// SPDX-License-Identifier: BSD-2-Clause
// The guest's state machine with a server that behaves, crashes, detaches and returns.
#include <gtest/gtest.h>

#include "guest.hpp"

namespace {

class Handshake : public ::testing::Test {
  protected:
    ~Handshake() override {
        for (auto const& violation : world.violations)
            ADD_FAILURE() << violation;
    }
    void expect_nothing_held() { EXPECT_FALSE(world.leaks()) << world.held(); }
    std::string guest_state() { return world.read(FakeServer::frontend + "/state"); }

    // Of a server that comes and goes by itself.
    void expect_back_off_grows() {
        std::uint64_t waited = 0;
        for (int round = 0; round < 9; round++) {
            server.detach("by itself");
            ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
            std::uint64_t const since = world.now_us;
            ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_WAITING; }));
            waited = world.now_us - since;
            ASSERT_TRUE(guest.connect());
        }
        EXPECT_GE(waited, 9000000U);
    }

    FakeWorld world{1};
    FakeServer server{world};
    Guest guest{world, server};
};

TEST_F(Handshake, goes_through_the_phases_and_passes_frames) {
    ASSERT_EQ(guest.open(), 0);
    EXPECT_EQ(world.read(FakeServer::frontend + "/request-mode"), "dedicated");
    EXPECT_EQ(guest_state(), "1");
    EXPECT_EQ(guest.poll(), LVIF_PHASE_WAITING);
    EXPECT_EQ(lvif_offer(guest.device), nullptr);
    EXPECT_EQ(lvif_queues(guest.device), 0);
    EXPECT_EQ(guest.next_us(), UINT64_MAX) << "only a watch ends this wait";
    server.turn();
    EXPECT_TRUE(world.watch_fired);
    EXPECT_EQ(guest.poll(), LVIF_PHASE_OFFERED);
    EXPECT_LE(guest.next_us(), world.now_us) << "to be called again";
    ASSERT_NE(lvif_offer(guest.device), nullptr);
    EXPECT_EQ(lvif_offer(guest.device)->mtu, 1500);
    EXPECT_EQ(guest.poll(), LVIF_PHASE_CONNECTING);
    EXPECT_EQ(guest_state(), "3");
    EXPECT_LE(world.shared_bytes(), 600U * 1024);
    std::uint8_t frame[64] = {};
    EXPECT_EQ(lvif_tx_frame(guest.device, 0, frame, 64, nullptr), LVIF_ENOTCONN);
    server.turn();
    EXPECT_EQ(guest.poll(), LVIF_PHASE_CONNECTED);
    EXPECT_EQ(guest_state(), "4");
    EXPECT_FALSE(lvif_link_up(guest.device)) << "the server says so after HELLO";
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(server.program, "guest 1.0");
    EXPECT_EQ(lvif_features(guest.device), LVIF_F_ALL);
    EXPECT_EQ(lvif_mtu(guest.device), 1500);
    EXPECT_EQ(lvif_queue_event(guest.device, 0), server.event_of("queue-0/event"));
    EXPECT_EQ(lvif_control_event(guest.device), server.event_of("control-event"));
    for (std::uint8_t i = 0; i < 200; i++)
        ASSERT_TRUE(guest.echo(0, i));
    EXPECT_EQ(lvif_tx_frame(guest.device, 1, frame, 64, nullptr), LVIF_ENOTCONN) << "no such queue";
    EXPECT_EQ(lvif_tx_frame(guest.device, 0xffff, frame, 64, nullptr), LVIF_ENOTCONN);
    auto const sum = statistics(guest);
    EXPECT_EQ(sum.tx_frames, 200U);
    EXPECT_EQ(sum.rx_frames, 200U);
    EXPECT_EQ(sum.tx_bytes, 200U * 64);
    EXPECT_EQ(sum.rx_bytes, 200U * 64);
    EXPECT_EQ(sum.connections, 1U);
    EXPECT_GT(sum.messages, 0U);
    EXPECT_EQ(sum.notifications, world.notifications);
    EXPECT_EQ(sum.rx_broken, 0U);
    auto const polls = guest.polls;
    guest.run_for(60000000);
    EXPECT_LE(guest.polls, polls + 1) << "an idle device is not polled";
}

TEST_F(Handshake, a_sender_is_told_of_a_frame_that_is_dropped) {
    std::uint8_t* frame = nullptr;
    ASSERT_EQ(guest.open(), 0);
    EXPECT_EQ(lvif_tx_commit(guest.device, 0, 64, nullptr), LVIF_ENOTCONN);
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(lvif_tx_commit(guest.device, 0, 64, nullptr), LVIF_EINVAL) << "nothing is reserved";
    ASSERT_EQ(lvif_tx_reserve(guest.device, 0, 64, &frame), 0);
    EXPECT_EQ(lvif_tx_commit(guest.device, 0, 65, nullptr), LVIF_EINVAL);
    EXPECT_EQ(statistics(guest).tx_frames, 0U);
    ASSERT_EQ(lvif_tx_reserve(guest.device, 0, 64, &frame), 0);
    EXPECT_EQ(lvif_tx_commit(guest.device, 0, 60, nullptr), 0);
    EXPECT_EQ(statistics(guest).tx_frames, 1U);
}

TEST_F(Handshake, takes_what_the_offer_bounds) {
    server.offer["max-ring-bytes"] = "300000";
    server.offer["max-queues"] = "3";
    server.offer["features"] = "4294967273";  // all bits but 1, 2 and 4
    lvif_options wanted = Guest::options(16);
    wanted.ring_bytes = 1024 * 1024;
    ASSERT_EQ(guest.open(wanted), 0);
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(lvif_queues(guest.device), 3);
    EXPECT_EQ(world.read(FakeServer::frontend + "/ring-bytes"), "262144");
    EXPECT_EQ(lvif_features(guest.device), LVIF_F_ALL & 4294967273U);
    for (std::uint16_t q = 0; q < 3; q++)
        EXPECT_TRUE(guest.echo(q));
}

TEST_F(Handshake, server_crash_is_waited_for_and_the_next_one_goes_on) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    EXPECT_TRUE(lvif_server_alive(guest.device));
    for (int round = 0; round < 50; round++) {
        auto const echoed = server.echoed;
        server.crash();
        guest.poll();
        EXPECT_FALSE(lvif_server_alive(guest.device));
        std::uint8_t frame[1000] = {};
        std::uint64_t kept = 0;
        while (lvif_tx_frame(guest.device, 0, frame, sizeof frame, nullptr) == 0)
            kept++;
        lvif_tx_publish(guest.device, 0);
        EXPECT_EQ(lvif_tx_frame(guest.device, 0, frame, sizeof frame, nullptr), LVIF_EAGAIN);
        EXPECT_FALSE(lvif_tx_wait(guest.device, 0, sizeof frame));
        guest.run_for(3600000000);
        EXPECT_EQ(guest.phase, LVIF_PHASE_CONNECTED) << "an hour later";
        server.restart();
        server.turn();
        guest.poll();
        server.turn();
        EXPECT_TRUE(lvif_server_alive(guest.device));
        EXPECT_EQ(server.echoed, echoed + kept) << "frames in the ring are kept";
        EXPECT_EQ(server.hellos, static_cast<std::uint64_t>(round) + 2) << "the new server is greeted";
        for (lvif_frame got{}; lvif_rx_peek(guest.device, 0, &got) == 1;)
            lvif_rx_release(guest.device, 0);
        lvif_rx_publish(guest.device, 0);
        ASSERT_TRUE(guest.echo());
    }
    EXPECT_EQ(statistics(guest).connections, 1U);
}

TEST_F(Handshake, an_operators_attach_ends_the_back_off) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    for (std::uint64_t round = 1; round <= 20; round++) {
        server.detach("by an operator");
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
        guest.poll();
        EXPECT_GT(guest.next_us(), world.now_us + 90000) << "until it is attached";
        world.watch_fired = false;
        server.offer["attach-serial"] = std::to_string(round);
        world.write(FakeServer::backend + "/attach-serial", std::to_string(round));
        EXPECT_TRUE(world.watch_fired);
        std::uint64_t const since = world.now_us;
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_WAITING; }));
        EXPECT_LT(world.now_us - since, 90000U);
        ASSERT_TRUE(guest.connect());
        ASSERT_TRUE(guest.echo());
    }
    expect_back_off_grows();
}

TEST_F(Handshake, an_attach_that_came_before_the_detach_was_seen_counts) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.detach("by an operator");
    server.offer["attach-serial"] = "1";
    world.write(FakeServer::backend + "/attach-serial", "1");
    std::uint64_t const since = world.now_us;
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_WAITING; }));
    EXPECT_LT(world.now_us - since, 90000U);
    ASSERT_TRUE(guest.connect());
}

TEST_F(Handshake, garbage_for_a_serial_does_not_end_the_back_off) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.detach("limits broken");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    world.write(FakeServer::backend + "/attach-serial", "1 or so");
    EXPECT_EQ(guest.poll(), LVIF_PHASE_DETACHED);
    EXPECT_GT(guest.next_us(), world.now_us);
}

TEST_F(Handshake, detached_with_a_reason_and_back_by_itself) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    std::uint64_t least = UINT64_MAX;
    std::uint64_t most = 0;
    for (std::uint64_t round = 1; round <= 12; round++) {
        server.detach("limits broken");
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
        EXPECT_STREQ(lvif_detach_reason(guest.device), "limits broken");
        EXPECT_FALSE(lvif_link_up(guest.device));
        lvif_frame frame{};
        EXPECT_EQ(lvif_rx_peek(guest.device, 0, &frame), LVIF_ENOTCONN);
        std::uint64_t const since = world.now_us;
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_WAITING; }));
        least = std::min(least, world.now_us - since);
        most = std::max(most, world.now_us - since);
        ASSERT_TRUE(guest.connect());
        EXPECT_STREQ(lvif_detach_reason(guest.device), "");
        ASSERT_TRUE(guest.echo());
        EXPECT_EQ(statistics(guest).connections, round + 1);
    }
    EXPECT_GE(least, 90000U);
    EXPECT_LE(least, 200000U);
    EXPECT_GE(most, 9000000U) << "the back-off grows";
    EXPECT_LE(most, 10100000U) << "and is bounded";

    guest.run_for(11000000);
    server.detach("once more");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    std::uint64_t const since = world.now_us;
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_WAITING; }));
    EXPECT_LE(world.now_us - since, 200000U) << "a connection that lasted begins anew";
}

TEST_F(Handshake, pages_that_the_server_keeps_are_not_used_again) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    auto const old = world.regions();
    server.keeps_mappings = true;
    server.detach("slow to let go");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(world.regions().size(), 2 * old.size());
    for (auto const& [reference, region] : old)
        EXPECT_TRUE(world.regions().contains(reference)) << "still shared";
    server.keeps_mappings = false;
    server.detach("let go");
    ASSERT_TRUE(guest.connect());
    guest.run_for(1000000);
    EXPECT_EQ(world.regions().size(), old.size()) << world.held();
    EXPECT_EQ(world.quarantined_pages(), old.size());
    world.on_yield = [&] { server.turn(); };
    lvif_close(guest.device);
    expect_nothing_held();
}

TEST_F(Handshake, nothing_new_is_shared_while_the_quarantine_is_full) {
    server.offer["max-queues"] = "16";
    lvif_options wanted = Guest::options(16);
    wanted.ring_bytes = LVIF_RING_MIN_CAPACITY;
    ASSERT_EQ(guest.open(wanted), 0);
    server.keeps_mappings = true;
    for (int i = 0; i < 2; i++) {
        ASSERT_TRUE(guest.connect());
        server.detach("never lets go");
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    }
    std::size_t const held = world.regions().size();
    EXPECT_EQ(held, 2U * (2 + 32));
    guest.run_for(60000000);
    EXPECT_NE(guest.phase, LVIF_PHASE_CONNECTED);
    EXPECT_EQ(world.regions().size(), held);
    server.keeps_mappings = false;
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(world.regions().size(), held / 2);
}

TEST_F(Handshake, backend_that_vanishes_or_moves) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.crash();
    world.remove(FakeServer::backend);
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    EXPECT_STREQ(lvif_detach_reason(guest.device), "the backend directory is gone");
    server.restart();
    ASSERT_TRUE(guest.connect());
    world.write(FakeServer::frontend + "/backend", "/local/domain/4/backend/lvif/7/0");
    world.write(FakeServer::frontend + "/backend-id", "4");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    world.write(FakeServer::frontend + "/backend", FakeServer::backend);
    world.write(FakeServer::frontend + "/backend-id", "3");
    ASSERT_TRUE(guest.connect());
    ASSERT_TRUE(guest.echo());
}

TEST_F(Handshake, a_backend_elsewhere_is_not_believed) {
    ASSERT_EQ(guest.open(), 0);
    for (char const* path :
         {"/local/domain/3/backend/lvif/8/0", "/local/domain/3/backend/lvif/7/1", "/", "",
          "/local/domain/03/backend/lvif/7/0", "/local/domain/7/device/lvif/0", "/local/domain/3/backend/lvif/7/0/"}) {
        SCOPED_TRACE(path);
        if (path != FakeServer::frontend)
            world.write(std::string(path) + "/state", "2");
        world.write(FakeServer::frontend + "/backend-id", "3");
        world.write(FakeServer::frontend + "/backend", path);
        EXPECT_EQ(guest.poll(), LVIF_PHASE_WAITING);
        EXPECT_STREQ(lvif_detach_reason(guest.device), "unusable offer: backend");
    }
    world.remove(FakeServer::frontend + "/backend");
    ASSERT_TRUE(guest.connect());
}

TEST_F(Handshake, close_leaves_nothing) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    world.on_yield = [&] { server.turn(); };
    std::uint64_t const since = world.now_us;
    lvif_close(guest.device);
    EXPECT_LT(world.now_us - since, 100000U) << "no longer than the server needs";
    expect_nothing_held();
    EXPECT_EQ(guest_state(), "6");
    EXPECT_EQ(guest.poll(), LVIF_PHASE_CLOSED);
    EXPECT_EQ(guest.next_us(), UINT64_MAX);
    lvif_close(guest.device);

    ASSERT_EQ(guest.open(), 0) << "and the device may be opened again";
    ASSERT_TRUE(guest.connect());
    EXPECT_TRUE(guest.echo());
}

TEST_F(Handshake, close_is_bounded_when_the_server_does_not_answer) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    std::uint64_t const since = world.now_us;
    lvif_close(guest.device);  // the server has no turn
    EXPECT_GE(world.now_us - since, 1900000U);
    EXPECT_LE(world.now_us - since, 2100000U);
    EXPECT_EQ(world.regions().size(), 4U) << "still mapped: kept, not freed";
}

TEST_F(Handshake, close_with_a_dead_server_frees_all) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.crash();
    lvif_close(guest.device);
    expect_nothing_held();
}

TEST_F(Handshake, queues_are_quiet_before_pages_go) {
    int quiet = 0;
    world.on_quiesce = [&] {
        EXPECT_EQ(lvif_queues(guest.device), 0);
        lvif_frame frame{};
        EXPECT_EQ(lvif_rx_peek(guest.device, 0, &frame), LVIF_ENOTCONN);
        EXPECT_GT(world.quarantined_pages(), 0U) << "pages are still there";
        quiet++;
    };
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.detach("away");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    EXPECT_EQ(quiet, 1);
    world.on_quiesce = [] {};
}

TEST_F(Handshake, a_ring_that_the_server_breaks_is_replaced) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.rx_header()->head = 8;
    lvif_frame frame{};
    EXPECT_EQ(lvif_rx_peek(guest.device, 0, &frame), LVIF_EPROTO);
    EXPECT_FALSE(lvif_rx_sleep(guest.device, 0)) << "no sleeping on a broken ring";
    guest.poll();
    EXPECT_EQ(guest.phase, LVIF_PHASE_DETACHED);
    EXPECT_STREQ(lvif_detach_reason(guest.device), "the server broke a ring");
    EXPECT_EQ(guest_state(), "5");
    EXPECT_EQ(statistics(guest).rx_broken, 1U);
    ASSERT_TRUE(guest.connect());
    EXPECT_TRUE(guest.echo());

    server.tx_header()->tail += 1U << 20;
    std::uint8_t bytes[20000] = {};
    int result = 0;
    while (result == 0)
        result = lvif_tx_frame(guest.device, 0, bytes, sizeof bytes, nullptr);
    EXPECT_EQ(result, LVIF_EPROTO);
    guest.poll();
    EXPECT_EQ(guest.phase, LVIF_PHASE_DETACHED);
    ASSERT_TRUE(guest.connect());

    server.to_guest()->head += 33;
    guest.poll();
    EXPECT_EQ(guest.phase, LVIF_PHASE_DETACHED);
    EXPECT_EQ(statistics(guest).rx_broken, 3U);
    ASSERT_TRUE(guest.connect());
    EXPECT_TRUE(guest.echo());
}

TEST_F(Handshake, control_messages) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    lvif_message message{};
    auto tell = [&] {
        server.send(message);
        EXPECT_TRUE(world.watch_fired) << "the guest armed its event";
        guest.poll();
        server.turn();
    };
    message.type = LVIF_MSG_MTU;
    message.u.mtu.mtu_bytes = 9000;
    tell();
    EXPECT_EQ(lvif_mtu(guest.device), 9000);
    for (std::uint32_t bad : {0U, 1279U, 9001U, 65536U + 1500U, ~0U}) {
        message.u.mtu.mtu_bytes = bad;
        tell();
        EXPECT_EQ(lvif_mtu(guest.device), 9000);
    }
    message = {};
    message.type = LVIF_MSG_LINK;
    tell();
    EXPECT_FALSE(lvif_link_up(guest.device));
    message.u.link.up = 1;
    tell();
    EXPECT_TRUE(lvif_link_up(guest.device));
    auto const replies = server.replies;
    message = {};
    message.type = 40;
    tell();
    EXPECT_EQ(server.replies, replies) << "unknown, wants no reply: ignored";
    message.flags = LVIF_MSG_WANTS_REPLY;
    message.id = 0xabcd;
    tell();
    EXPECT_EQ(server.replies, replies + 1);
    auto const& reply = server.to_server()->slots[(server.to_server()->head - 1) % LVIF_CONTROL_SLOTS];
    EXPECT_EQ(reply.id, 0xabcdU);
    EXPECT_EQ(reply.status, -95);

    // A flood is taken in turns, and replies that find no room are dropped.
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 40; k++)
            server.send(message);
        guest.poll();
    }
    EXPECT_EQ(guest.phase, LVIF_PHASE_CONNECTED);
    EXPECT_EQ(server.to_server()->head - server.to_server()->tail, LVIF_CONTROL_SLOTS);

    server.turn();
    message = {};
    message.type = LVIF_MSG_DETACHED;
    std::memset(message.u.detached.reason, 'x', sizeof message.u.detached.reason);
    message.u.detached.reason[1] = '\n';
    server.send(message);
    server.set_state(LVIF_STATE_CLOSING);
    guest.poll();
    EXPECT_EQ(std::string(lvif_detach_reason(guest.device)), "x?" + std::string(45, 'x'));
}

TEST_F(Handshake, open_refuses_what_cannot_be) {
    auto refused = [&](auto change) {
        lvif_options wanted = Guest::options();
        change(wanted);
        return guest.open(wanted) == LVIF_EINVAL;
    };
    EXPECT_TRUE(refused([](auto& o) { o.queues = LVIF_MAX_QUEUES + 1; }));
    EXPECT_TRUE(refused([](auto& o) { o.ring_bytes = 100000; }));
    EXPECT_TRUE(refused([](auto& o) { o.ring_bytes = LVIF_RING_MIN_CAPACITY / 2; }));
    EXPECT_TRUE(refused([](auto& o) { o.ring_bytes = LVIF_RING_MAX_CAPACITY * 2; }));
    EXPECT_TRUE(refused([](auto& o) { o.features = 0x40; }));
    EXPECT_TRUE(refused([](auto& o) { std::memset(o.program, 'x', sizeof o.program); }));
    lvif_options wanted = Guest::options();
    lvif_environment environment = world.environment();
    environment.share = nullptr;
    EXPECT_EQ(lvif_open(guest.device, &environment, &wanted), LVIF_EINVAL);
    world.fault_rate = 1;
    EXPECT_EQ(guest.open(), LVIF_EIO);
    world.fault_rate = 0;
    expect_nothing_held();
}

TEST_F(Handshake, churn_grows_nothing) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    std::string const held = world.held();
    for (int i = 0; i < 1000; i++) {
        server.detach("churn");
        ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
        ASSERT_TRUE(guest.connect());
    }
    EXPECT_EQ(world.held(), held);
    world.on_yield = [&] { server.turn(); };
    lvif_close(guest.device);
    expect_nothing_held();
}

}  // namespace
