// SPDX-License-Identifier: BSD-2-Clause
// Port operations over the control ring, as the guest's side of it.
#include <gtest/gtest.h>

#include <set>

#include "fake_server.hpp"
#include "fake_world.hpp"
#include "guest.hpp"

namespace {

constexpr std::uint8_t tcp = 6;

class ControlRingPorts : public testing::Test {
  protected:
    int request(lvif_message_type operation, std::uint16_t port, std::uint16_t count = 1) {
        return lvif_port_request(guest.device, operation, tcp, port, count, &ticket);
    }
    // What is answered by now.
    std::vector<lvif_port_answer> answers() {
        guest.run_for(1000);
        std::vector<lvif_port_answer> taken;
        lvif_port_answer answer{};
        while (lvif_port_take_answer(guest.device, &answer) == 1)
            taken.push_back(answer);
        return taken;
    }

    FakeWorld world{1};
    FakeServer server{world};
    Guest guest{world, server};
    std::uint32_t ticket = 0;
    std::uint64_t next_ = 0;
};

TEST_F(ControlRingPorts, AreAskedAndAnswered) {
    ASSERT_EQ(guest.open(), 0);
    EXPECT_EQ(request(LVIF_MSG_PORT_BIND, 80), LVIF_ENOTCONN);
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(request(LVIF_MSG_HELLO, 80), LVIF_EINVAL);
    EXPECT_EQ(request(LVIF_MSG_LINK, 80), LVIF_EINVAL);
    ASSERT_EQ(request(LVIF_MSG_PORT_BIND, 80), 0);
    auto taken = answers();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].ticket, ticket);
    EXPECT_EQ(taken[0].status, 0);
    EXPECT_EQ(taken[0].port, 80);
    EXPECT_EQ(taken[0].count, 1);
    ASSERT_EQ(server.port_requests.size(), 1u);
    EXPECT_EQ(server.port_requests[0].flags, LVIF_MSG_WANTS_REPLY);
    EXPECT_EQ(server.port_requests[0].u.port.protocol, tcp);

    ASSERT_EQ(request(LVIF_MSG_PORT_LEASE, 0, 512), 0);
    taken = answers();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].port, 40000);
    EXPECT_EQ(taken[0].count, 512);

    ASSERT_EQ(request(LVIF_MSG_PORT_BIND, 666), 0);
    taken = answers();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].status, -98);
    EXPECT_TRUE(answers().empty());
}

TEST_F(ControlRingPorts, SeveralMayWait) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.answers_ports = false;
    std::set<std::uint32_t> tickets;
    for (unsigned i = 0; i < LVIF_PORT_REQUESTS; i++) {
        ASSERT_EQ(request(LVIF_MSG_PORT_BIND, static_cast<std::uint16_t>(80 + i)), 0);
        tickets.insert(ticket);
    }
    EXPECT_EQ(tickets.size(), LVIF_PORT_REQUESTS);
    EXPECT_EQ(request(LVIF_MSG_PORT_BIND, 90), LVIF_EAGAIN);
    EXPECT_TRUE(answers().empty());
    server.answers_ports = true;
    auto const taken = answers();
    ASSERT_EQ(taken.size(), LVIF_PORT_REQUESTS);
    for (auto const& answer : taken)
        EXPECT_EQ(tickets.erase(answer.ticket), 1u);
    EXPECT_EQ(request(LVIF_MSG_PORT_BIND, 90), 0);
}

// They stay in the ring: nothing has to be asked again.
TEST_F(ControlRingPorts, ASecondServerAnswersWhatTheFirstDidNot) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.answers_ports = false;
    ASSERT_EQ(request(LVIF_MSG_PORT_BIND, 80), 0);
    guest.run_for(1000);
    server.crash();
    EXPECT_TRUE(answers().empty());
    EXPECT_EQ(lvif_poll(guest.device, &next_), LVIF_PHASE_CONNECTED);
    server.answers_ports = true;
    server.restart();
    auto const taken = answers();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].ticket, ticket);
    EXPECT_EQ(taken[0].status, 0);
}

TEST_F(ControlRingPorts, TheEndOfTheConnectionAnswersAll) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    server.answers_ports = false;
    ASSERT_EQ(request(LVIF_MSG_PORT_BIND, 80), 0);
    auto const first = ticket;
    server.detach("enough");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase != LVIF_PHASE_CONNECTED; }));
    lvif_port_answer answer{};
    ASSERT_EQ(lvif_port_take_answer(guest.device, &answer), 1);
    EXPECT_EQ(answer.ticket, first);
    EXPECT_EQ(answer.status, LVIF_ENOTCONN);
    EXPECT_EQ(lvif_port_take_answer(guest.device, &answer), 0);
}

TEST_F(ControlRingPorts, AnswersToNothingAreIgnored) {
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    for (std::uint32_t id : {0u, 1u, 2u, 0x7fffffffu, 0xffffffffu}) {
        lvif_message reply{};
        reply.type = LVIF_MSG_REPLY;
        reply.id = id;
        server.send(reply);
    }
    EXPECT_TRUE(answers().empty());
    ASSERT_EQ(request(LVIF_MSG_PORT_BIND, 80), 0);
    lvif_message lie{};
    lie.type = LVIF_MSG_REPLY;
    lie.id = ticket;
    lie.status = 5;  // neither 0 nor an error
    server.answers_ports = false;
    server.send(lie);
    server.send(lie);
    auto const taken = answers();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].status, LVIF_EIO);
    server.answers_ports = true;
    EXPECT_TRUE(answers().empty()) << "the true one comes too late";
}

}  // namespace
