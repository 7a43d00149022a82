// SPDX-License-Identifier: BSD-2-Clause
// The steps of a switch against a NIC, a guest and a store that obey, fail, are silent; and servers that die in
// between.
#include "daemon/engine/control/vf_switch.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using librettos::control::VfSwitch;
using Step = VfSwitch::Step;
using Nic = VfSwitch::Nic;
using std::chrono::milliseconds;

constexpr std::uint16_t the_vf = 3;
constexpr milliseconds timeout{500};

// The world that outlives servers, with what they asked for and is not done yet, in order. Its guest does what
// librettos/vf_switch.h says.
struct World {
    std::deque<lvif_message> ring;
    std::deque<std::pair<Nic, int>> nic;  // and what the request was, of all servers
    std::optional<std::string> record;
    bool given = false;
    bool steered_to_vf = false;
    bool guest_up = false;
    bool guest_direct = false;

    lvif_message guest_takes(lvif_message const& message, int fails_with) {
        lvif_message reply{};
        reply.type = LVIF_MSG_REPLY;
        reply.id = message.id;
        reply.u.vf.serial = message.u.vf.serial;
        switch (message.type) {
            case LVIF_MSG_SWITCH_PREPARE:
                reply.status = fails_with;
                guest_up |= reply.status == 0;
                break;
            case LVIF_MSG_SWITCH_COMMIT:
                reply.status = guest_up ? fails_with : -EINVAL;
                guest_direct |= reply.status == 0;
                break;
            case LVIF_MSG_SWITCH_RELEASE:
                guest_up = guest_direct = false;
                break;
            default:
                guest_direct = false;
        }
        return reply;
    }
    void nic_does(Nic operation) {
        if (operation == Nic::give)
            given = true;
        else if (operation == Nic::take)
            given = false;
        else
            steered_to_vf = operation == Nic::steer_to_vf;
    }
};

// One server's life: what was asked for waits until the test carries it out.
class Server : public VfSwitch::Effects {
  public:
    explicit Server(World& world) : world_(world) {}

    void write_down(std::optional<std::string> const& record) override {
        if (store_fails)
            throw std::system_error(EIO, std::generic_category(), "writing");
        world_.record = record;
        log.push_back(record ? record->substr(0, record->find(' ')) : "rings");
    }
    void operate_nic(Nic operation, std::uint16_t vf) override {
        EXPECT_EQ(vf, the_vf);
        world_.nic.emplace_back(operation, awaited_ = ++requests);
    }
    bool tell_guest(lvif_message const& message) override {
        if (ring_full)
            return false;
        EXPECT_EQ(message.flags, LVIF_MSG_WANTS_REPLY);
        world_.ring.push_back(message);
        return true;
    }
    void drain() override { drains = true; }

    // One thing that was asked for; `fails` is what NIC or guest say to it.
    bool carry_out(int fails = 0) {
        if (!world_.nic.empty()) {
            auto const [operation, request] = world_.nic.front();
            world_.nic.pop_front();
            if (fails == 0)
                world_.nic_does(operation);
            if (request == awaited_)  // to another the answer comes too late
                steps.nic_done(operation, fails, now);
        } else if (!world_.ring.empty()) {
            auto const message = world_.ring.front();
            world_.ring.pop_front();
            steps.guest_answered(world_.guest_takes(message, fails), now);
        } else if (std::exchange(drains, false)) {
            steps.drained(now);
        } else {
            return false;
        }
        return true;
    }
    void run() {
        while (carry_out())
            ;
    }
    void run_until(Step step) {
        while (steps.step() != step)
            ASSERT_TRUE(carry_out()) << "stands at " << to_text(steps.step());
    }
    // Time passes until something is to be done.
    void wait() {
        ASSERT_NE(steps.wake_at(), VfSwitch::TimePoint::max());
        now = steps.wake_at();
        steps.tick(now);
    }

    std::vector<std::string> log;
    bool drains = false, ring_full = false, store_fails = false;
    VfSwitch::TimePoint now{std::chrono::hours(1)};
    VfSwitch steps{*this};

  private:
    static inline int requests = 0;
    World& world_;
    int awaited_ = 0;
};

class VfSwitchSteps : public testing::Test {
  protected:
    void expect_rings() {
        EXPECT_EQ(server->steps.step(), Step::rings);
        EXPECT_FALSE(world.given || world.steered_to_vf || world.guest_up || world.guest_direct);
        EXPECT_EQ(world.record, std::nullopt);
        EXPECT_EQ(server->steps.vf(), std::nullopt);
        EXPECT_EQ(server->steps.wake_at(), VfSwitch::TimePoint::max());
    }
    void expect_direct() {
        EXPECT_EQ(server->steps.step(), Step::direct);
        EXPECT_TRUE(world.given && world.steered_to_vf && world.guest_up && world.guest_direct);
        EXPECT_EQ(server->steps.vf(), the_vf);
        EXPECT_EQ(server->steps.wake_at(), VfSwitch::TimePoint::max());
    }
    void go_direct() {
        ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
        server->run();
        expect_direct();
    }
    // The server is killed; whether the step under way had been done is the test's business.
    void restart() {
        auto const now = server->now;
        server = std::make_unique<Server>(world);
        server->now = now;
        if (world.record) {
            ASSERT_TRUE(server->steps.resume(*world.record, now));
        }
    }

    World world;
    std::unique_ptr<Server> server = std::make_unique<Server>(world);
};

std::vector<Step> const way_there{Step::giving, Step::preparing, Step::steering, Step::draining, Step::committing};
std::vector<Step> const way_back{Step::returning, Step::steering_back, Step::releasing, Step::taking};

TEST_F(VfSwitchSteps, GoThereAndBack) {
    go_direct();
    EXPECT_EQ(server->log, (std::vector<std::string>{"giving", "preparing", "committing", "direct"}))
        << "nothing is written down while frames wait";
    EXPECT_TRUE(server->steps.report().reached && server->steps.report().to_direct);
    EXPECT_EQ(server->steps.to_direct(5, timeout, server->now), EALREADY);
    server->log.clear();
    ASSERT_EQ(server->steps.to_rings("", timeout, server->now), 0);
    EXPECT_EQ(server->steps.to_rings("", timeout, server->now), EBUSY);
    EXPECT_EQ(server->steps.to_direct(the_vf, timeout, server->now), EBUSY);
    server->run();
    expect_rings();
    EXPECT_EQ(server->log, (std::vector<std::string>{"returning", "steering-back", "releasing", "taking", "rings"}));
    EXPECT_TRUE(server->steps.report().reached);
    EXPECT_FALSE(server->steps.report().to_direct);
    EXPECT_EQ(server->steps.to_rings("", timeout, server->now), EALREADY);
}

TEST_F(VfSwitchSteps, AFailureOnTheWayThereIsUndone) {
    for (auto const step : way_there) {
        if (step == Step::draining)
            continue;  // cannot fail
        SCOPED_TRACE(to_text(step));
        ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
        server->run_until(step);
        ASSERT_TRUE(server->carry_out(-ENODEV));
        server->run();
        expect_rings();
        EXPECT_FALSE(server->steps.report().reached);
        EXPECT_NE(server->steps.report().reason.find("No such device"), std::string::npos)
            << server->steps.report().reason;
    }
    go_direct();
}

TEST_F(VfSwitchSteps, ASilentGuestIsPassedOver) {
    for (auto const silent : {Step::preparing, Step::committing}) {
        SCOPED_TRACE(to_text(silent));
        ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
        server->run_until(silent);
        auto const began = server->now;
        server->wait();
        EXPECT_EQ(server->now - began, timeout);
        EXPECT_EQ(server->steps.step(), silent == Step::preparing ? Step::releasing : Step::returning);
        server->run();
        expect_rings();
        EXPECT_EQ(server->steps.report().reason, "the guest did not answer within 500 ms");
    }
    for (auto const silent : {Step::returning, Step::releasing}) {
        SCOPED_TRACE(to_text(silent));
        go_direct();
        ASSERT_EQ(server->steps.to_rings("", timeout, server->now), 0);
        server->run_until(silent);
        world.ring.clear();
        server->wait();
        server->run();
        EXPECT_EQ(server->steps.step(), Step::rings);
        EXPECT_FALSE(world.given || world.steered_to_vf);
        world.guest_up = world.guest_direct = false;
    }
}

TEST_F(VfSwitchSteps, ALateAnswerIsNotTheNextOnes) {
    ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
    server->run_until(Step::preparing);
    auto const late = world.ring.front();
    world.ring.clear();
    server->wait();
    EXPECT_EQ(server->steps.step(), Step::releasing);
    server->steps.guest_answered(world.guest_takes(late, 0), server->now);
    EXPECT_EQ(server->steps.step(), Step::releasing);
    server->run();
    expect_rings();
}

TEST_F(VfSwitchSteps, ANicThatRefusesTheWayBackIsAskedAgain) {
    for (auto const step : {Step::steering_back, Step::taking}) {
        SCOPED_TRACE(to_text(step));
        go_direct();
        ASSERT_EQ(server->steps.to_rings("", timeout, server->now), 0);
        server->run_until(step);
        for (int times = 0; times < 3; times++) {
            ASSERT_TRUE(server->carry_out(-EIO));
            EXPECT_EQ(server->steps.step(), step);
            server->wait();
        }
        world.nic.clear();  // and one that is silent
        server->wait();
        server->run();
        expect_rings();
    }
}

TEST_F(VfSwitchSteps, AFullRingIsTriedAgain) {
    server->ring_full = true;
    ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
    ASSERT_TRUE(server->carry_out());
    EXPECT_EQ(server->steps.step(), Step::preparing);
    server->wait();
    EXPECT_FALSE(server->carry_out());
    server->ring_full = false;
    server->wait();
    server->run();
    expect_direct();
}

TEST_F(VfSwitchSteps, ARingThatStaysFullIsASilentGuest) {
    server->ring_full = true;
    ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
    auto const began = server->now;
    server->carry_out();
    while (server->steps.step() != Step::rings && server->now < began + std::chrono::seconds(10)) {
        server->wait();
        server->run();
    }
    expect_rings();
}

TEST_F(VfSwitchSteps, NothingIsDoneThatIsNotWrittenDown) {
    server->store_fails = true;
    ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
    EXPECT_FALSE(server->carry_out());
    server->wait();
    EXPECT_FALSE(server->carry_out());
    server->store_fails = false;
    server->wait();
    server->run();
    expect_direct();
}

TEST_F(VfSwitchSteps, ALostVfLeadsBackFromAnywhere) {
    go_direct();
    server->steps.vf_lost("link down", server->now);
    server->run();
    expect_rings();
    EXPECT_EQ(server->steps.report().reason, "link down");
    for (auto const step : way_there) {
        SCOPED_TRACE(to_text(step));
        ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
        server->run_until(step);
        server->steps.vf_lost("link down", server->now);
        server->run();
        expect_rings();
    }
    server->steps.vf_lost("late", server->now);
    expect_rings();
}

TEST_F(VfSwitchSteps, ADeadGuestsVfIsTaken) {
    auto const steps = {Step::giving, Step::preparing, Step::steering,      Step::draining,  Step::committing,
                        Step::direct, Step::returning, Step::steering_back, Step::releasing, Step::taking};
    for (auto const step : steps) {
        SCOPED_TRACE(to_text(step));
        world = {};
        server = std::make_unique<Server>(world);
        ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
        if (step >= Step::direct)
            server->run();
        if (step > Step::direct) {
            ASSERT_EQ(server->steps.to_rings("", timeout, server->now), 0);
        }
        server->run_until(step);
        world.ring.clear();
        server->steps.guest_gone(server->now);
        world.guest_up = world.guest_direct = false;
        server->run();
        expect_rings();
    }
}

TEST_F(VfSwitchSteps, TheNextServerCompletesOrUndoes) {
    for (bool const done : {false, true}) {
        for (auto const step : way_there) {
            SCOPED_TRACE(std::string(to_text(step)) + (done ? ", done" : ", not done"));
            world = {};
            server = std::make_unique<Server>(world);
            ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
            server->run_until(step);
            if (!done)
                world.nic.clear();
            restart();
            server->run();
            if (step == Step::giving || step == Step::preparing)
                expect_rings();
            else
                expect_direct();
        }
        for (auto const step : way_back) {
            SCOPED_TRACE(std::string(to_text(step)) + (done ? ", done" : ", not done"));
            world = {};
            server = std::make_unique<Server>(world);
            go_direct();
            ASSERT_EQ(server->steps.to_rings("", timeout, server->now), 0);
            server->run_until(step);
            if (!done)
                world.nic.clear();
            restart();
            server->run();
            expect_rings();
        }
    }
}

TEST_F(VfSwitchSteps, ADirectGuestStaysDirectOverServers) {
    go_direct();
    for (int i = 0; i < 3; i++) {
        restart();
        server->run();
        expect_direct();
    }
    restart();
    world.given = world.steered_to_vf = false;  // the NIC was reset
    server->run();
    expect_direct();
    restart();
    world.guest_up = world.guest_direct = false;  // it has lost its VF meanwhile
    server->run_until(Step::committing);
    world.guest_up = false;
    server->run();
    EXPECT_EQ(server->steps.step(), Step::rings);
    EXPECT_FALSE(world.given || world.steered_to_vf);
}

// The next server finds a guest that is direct, and a NIC that no longer obeys: the guest is brought back all the way.
TEST_F(VfSwitchSteps, AResumedSwitchThatFailsIsUndoneFromWhereTheFirstServerCame) {
    go_direct();
    restart();
    ASSERT_EQ(server->steps.step(), Step::giving);
    ASSERT_TRUE(server->carry_out(-EIO));
    server->run();
    expect_rings();
}

// The server dies before it hears that the guest has changed its way, of which nothing is written down.
TEST_F(VfSwitchSteps, ACommitThatNobodyHeardOfIsUndoneToo) {
    ASSERT_EQ(server->steps.to_direct(the_vf, timeout, server->now), 0);
    server->run_until(Step::committing);
    world.guest_takes(world.ring.front(), 0);
    world.ring.clear();
    ASSERT_TRUE(world.guest_direct);
    restart();
    ASSERT_EQ(server->steps.step(), Step::giving);
    ASSERT_TRUE(server->carry_out(-EIO));
    EXPECT_EQ(server->steps.step(), Step::returning) << "before the NIC steers to the port";
    server->run();
    expect_rings();
}

TEST_F(VfSwitchSteps, GreetingsTellWhatGuestsDo) {
    go_direct();
    server->steps.greeted(true, server->now);
    expect_direct();
    world.guest_up = world.guest_direct = false;
    server->steps.greeted(false, server->now);
    server->run();
    expect_rings();
}

TEST_F(VfSwitchSteps, RecordsThatMeanNothingAreRemoved) {
    for (auto const* const text : {"", " ", "direct", "direct 1", "direct x 1", "direct 1 2 3", "direct 65536 1",
                                   "rings 1 1", "direct -1 2", "Direct 1 2", "direct 1 4294967296", "steering 1 2x"}) {
        SCOPED_TRACE(text);
        world.record = text;
        EXPECT_FALSE(server->steps.resume(text, server->now));
        expect_rings();
    }
}

// Everything fails by chance, servers die by chance: sound again, the guest is where the steps say.
TEST_F(VfSwitchSteps, AnyMisfortuneEndsInAWorkingMode) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    int direct = 0;
    for (int life = 0; life < 3000; life++) {
        for (auto turns = random() % 30; turns > 0; turns--) {
            server->store_fails = random() % 10 == 0;
            server->ring_full = random() % 10 == 0;
            auto const chance = random() % 100;
            if (chance < 5)
                restart();
            else if (chance < 8)
                server->steps.vf_lost("by chance", server->now);
            else if (chance < 20)
                (void)server->steps.to_direct(the_vf, timeout, server->now);
            else if (chance < 30)
                (void)server->steps.to_rings("", timeout, server->now);
            else if (chance < 40 && server->steps.wake_at() != VfSwitch::TimePoint::max())
                server->wait();
            else
                server->carry_out(random() % 5 == 0 ? -EIO : 0);
        }
        server->store_fails = server->ring_full = false;
        for (int turn = 0; turn < 100 && (server->carry_out() || server->steps.wake_at() != VfSwitch::TimePoint::max());
             turn++) {
            server->run();
            if (server->steps.wake_at() != VfSwitch::TimePoint::max())
                server->wait();
        }
        ASSERT_TRUE(server->steps.idle()) << to_text(server->steps.step());
        if (server->steps.step() == Step::direct) {
            direct++;
            expect_direct();
        } else {
            expect_rings();
        }
        ASSERT_FALSE(HasFailure()) << "life " << life;
    }
    EXPECT_GT(direct, 100);
}

}  // namespace
