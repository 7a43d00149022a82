// SPDX-License-Identifier: BSD-2-Clause
// Two data threads, turned by hand: what one of them learned is known whichever thread gets the answer.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/engine/datapath/keeper.hpp"
#include "tests/unit/dataplane/world.hpp"

namespace librettos::test {
namespace {

Bytes arp(std::uint8_t operation, MacAddress const& to, MacAddress const& sender, std::uint32_t sender_ip,
          std::uint32_t target_ip) {
    Bytes frame;
    auto const mac = [&](MacAddress const& address) {
        frame.insert(frame.end(), std::begin(address.bytes), std::end(address.bytes));
    };
    auto const ip = [&](std::uint32_t address) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            frame.push_back(static_cast<std::uint8_t>(address >> shift));
        }
    };
    mac(to);
    mac(sender);
    for (std::uint8_t const byte : {0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00}) {
        frame.push_back(byte);
    }
    frame.push_back(operation);
    mac(sender);
    ip(sender_ip);
    mac(operation == 2 ? to : MacAddress{});
    ip(target_ip);
    frame.resize(60);
    return frame;
}

class KeeperTest : public testing::Test {
  protected:
    static constexpr std::uint16_t threads = 2;

    void SetUp() override {
        world->reset();
        ack_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        guest_.identity.mode = GuestMode::shared;
        server_side_ = guest_.attach(1, threads);
        for (std::uint16_t i = 0; i < threads; ++i) {
            threads_.push_back(
                std::make_unique<DataThread>(world->setup(i, threads), world->network(), world->portmap(), ack_fd_));
        }
        std::vector<DataThread*> peers;
        for (auto const& thread : threads_) {
            peers.push_back(thread.get());
        }
        for (auto const& thread : threads_) {
            thread->set_peers(peers);
            thread->commands.push({DataCommand::Kind::add, 1, server_side_.get(), nullptr});
            thread->housekeeping();
        }
    }
    void TearDown() override {
        threads_.clear();
        close(ack_fd_);
    }

    void turn() {
        for (int i = 0; i < 4; ++i) {
            for (auto const& thread : threads_) {
                thread->turn();
            }
        }
    }

    std::size_t sent() {
        std::size_t count = 0;
        for (std::uint16_t queue = 0; queue < threads; ++queue) {
            count += world->sent(queue).size();
        }
        return count;
    }

    TestGuest guest_{1, 0, 2};
    std::unique_ptr<Guest> server_side_;
    std::vector<std::unique_ptr<DataThread>> threads_;
    int ack_fd_ = -1;
};

TEST_F(KeeperTest, AnswersFindTheGuestThatAskedThroughAnyThread) {
    MacAddress const everybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    std::uint32_t neighbour = 0x0a000032;
    for (std::size_t asked_on = 0; asked_on < threads; ++asked_on) {
        for (std::uint16_t answered_on = 0; answered_on < threads; ++answered_on) {
            SCOPED_TRACE(testing::Message() << "asked on " << asked_on << ", answered on " << answered_on);
            ++neighbour;
            guest_.send(arp(1, everybody, World::shared_mac(), World::shared_ip, neighbour), {}, asked_on);
            turn();
            EXPECT_EQ(sent(), 1U);
            Bytes const answer = arp(2, World::shared_mac(), World::peer_mac(), neighbour, World::shared_ip);
            world->arrive(answer, answered_on);
            turn();
            auto const got = guest_.receive();
            ASSERT_EQ(got.size(), 1U);
            EXPECT_EQ(got[0].frame, answer);
        }
    }
    EXPECT_EQ(world->count(wire_slot, Counter::drop_not_for_us), 0U);
    EXPECT_EQ(world->buffers_in_use(), 0U);
}

TEST_F(KeeperTest, WholePacketsOfTcpAndUdpStayWhereTheyAre) {
    world->own(1, 80);
    EXPECT_FALSE(is_for_keeper(make_frame(world->inbound(80))));
    Bytes tagged = make_frame(world->inbound(80));
    Bytes const tag{0x81, 0x00, 0x00, 0x07};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    EXPECT_FALSE(is_for_keeper(tagged));
    Bytes fragment = make_frame(world->inbound(80));
    fragment[20] = 0x20;  // more fragments
    EXPECT_TRUE(is_for_keeper(fragment));
    Bytes group = make_frame(world->inbound(80));
    group[0] |= 1;
    EXPECT_TRUE(is_for_keeper(group));
    Bytes icmp = make_frame(world->inbound(80));
    icmp[23] = 1;
    EXPECT_TRUE(is_for_keeper(icmp));
    tagged[4 + 23] = 1;
    EXPECT_TRUE(is_for_keeper(tagged));
    for (std::size_t length = 0; length < icmp.size(); ++length) {
        is_for_keeper({icmp.data(), length});  // cut short anywhere: reads no further (sanitizers look)
    }
}

}  // namespace
}  // namespace librettos::test
