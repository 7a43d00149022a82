// SPDX-License-Identifier: BSD-2-Clause
// Engines that die, hang, talk nonsense or do not stop, and a holder that goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/unit/holder/running_holder.hpp"

namespace librettos {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

bool dead(pid_t pid) {
    return waitpid(pid, nullptr, WNOHANG) == pid || (kill(pid, 0) != 0 && errno == ESRCH);
}

TEST(Engines, ReadyIsToldToSystemd) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    holder.await_notice("STATUS=engine 1 running, net_null0 link up");
    EXPECT_EQ(getpgid(holder.engine()), holder.engine()) << "Ctrl-C is not the engine's";
}

TEST(Engines, ASecondHolderDoesNotStart) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    pid_t const second = fork();
    if (second == 0) {
        holder.run();
    }
    int status = -1;
    ASSERT_EQ(waitpid(second, &status, 0), second);
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_THAT(holder.log(), HasSubstr("another librettos-netserver (process " + std::to_string(holder.pid()) + ")"));
    EXPECT_TRUE(std::filesystem::exists(holder.path("run/stats"))) << "which is the first one's";

    // Its lock ends with it, whatever becomes of its engine.
    ASSERT_EQ(kill(holder.pid(), SIGKILL), 0);
    holder.await_end();
    holder.start();
    holder.await_generation(1);
}

// Rather than start one that dies of it, and the next.
TEST(Engines, AreNotStartedWhereTheControlSocketCannotBe) {
    RunningHolder holder({.starts = false});
    std::filesystem::create_directories(holder.path("run/api"));
    holder.start();
    EXPECT_EQ(WEXITSTATUS(holder.await_end()), 1);
    EXPECT_THAT(holder.log(), HasSubstr("paths.api_socket '" + holder.path("run/api") + "' is no socket (remove it"));
    EXPECT_THAT(holder.log(), Not(HasSubstr("engine 1 started")));

    std::filesystem::remove(holder.path("run/api"));
    holder.write_config("api_group = \"no-such-group-here\"\n");
    holder.start();
    EXPECT_EQ(WEXITSTATUS(holder.await_end()), 1);
    EXPECT_THAT(holder.log(), HasSubstr("groupadd --system no-such-group-here"));
    EXPECT_THAT(holder.log(), Not(HasSubstr("engine 1 started")));
}

TEST(Engines, KilledOnesAreReplaced) {
    RunningHolder holder({});
    for (std::uint64_t generation = 1; generation <= 5; ++generation) {
        holder.await_generation(generation);
        pid_t const engine = holder.engine();
        holder.await_log("engine " + std::to_string(generation) + " is ready");
        ASSERT_EQ(kill(engine, SIGKILL), 0);
        holder.await_log("engine " + std::to_string(generation) + " was killed by signal 9");
        holder.await_generation(generation + 1);
        EXPECT_NE(holder.engine(), engine);
    }
}

TEST(Engines, ThatDieAtOnceAreHeldBack) {
    auto const began = std::chrono::steady_clock::now();
    RunningHolder holder({.engine = "crash"});
    holder.await("seven engines", [&] { return holder.generation() >= 7; });
    // 0, 0, 100, 200, 400 and 800 ms lie between seven of them.
    EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(1500));
    EXPECT_THAT(holder.log(), HasSubstr("exited with status 7"));
    EXPECT_FALSE(holder.notified("READY=1"));
}

TEST(Engines, HangIsSeenAndEnded) {
    RunningHolder holder({.engine = "hang", .watchdog = milliseconds(1000)});
    holder.await_log("data thread 0 of engine");
    holder.await_log("has not turned for 500 ms: killed");
    holder.await_generation(2);
}

TEST(Engines, ProgressFeedsTheWatchdog) {
    RunningHolder holder({.watchdog = milliseconds(1000)});
    holder.await_notice("READY=1");
    for (int i = 0; i < 3; ++i) {
        holder.forget_notices();
        holder.await_notice("WATCHDOG=1");
    }
    EXPECT_EQ(holder.generation(), 1U);
}

TEST(Engines, StoppedByASignalCountsAsHung) {
    RunningHolder holder({.watchdog = milliseconds(1000)});
    holder.await_notice("READY=1");
    kill(holder.engine(), SIGSTOP);
    holder.await_generation(2);
    EXPECT_THAT(holder.log(), HasSubstr("has not turned"));
}

TEST(Engines, StoppedWhileAsleepCountsAsHungToo) {
    RunningHolder holder({.engine = "asleep", .watchdog = milliseconds(1000)});
    holder.await_notice("READY=1");
    for (int tick = 0; tick < 30; ++tick) {  // more of them than a stopped one has
        holder.forget_notices();
        holder.await_notice("WATCHDOG=1");
    }
    EXPECT_EQ(holder.generation(), 1U);
    kill(holder.engine(), SIGSTOP);
    holder.await_generation(2);
    EXPECT_THAT(holder.log(), HasSubstr("has not turned for 3000 ms: killed"));
}

TEST(Engines, NonsenseIsDeadly) {
    RunningHolder holder({.engine = "garbage"});
    holder.await_log("sent a message that is none: killed");
    holder.await_generation(2);
    holder.await_log("engine 2 is ready");
}

TEST(Engines, AskForMacs) {
    RunningHolder holder({.engine = "mac"});
    holder.await("answer", [&] {
        std::string line;
        std::getline(std::ifstream(holder.path("answer")), line);
        return line == "id 42 status 0";
    });
}

TEST(Engines, AreToldWhenThereAreNoVfs) {
    RunningHolder holder({.engine = "vf"});
    holder.await("answer", [&] {
        std::string line;
        std::getline(std::ifstream(holder.path("answer")), line);
        return line == "id 43 status " + std::to_string(-EOPNOTSUPP);
    });
}

TEST(Signals, TermStopsInOrder) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    pid_t const engine = holder.engine();
    kill(holder.pid(), SIGTERM);
    EXPECT_EQ(holder.await_end(), 0);
    EXPECT_TRUE(holder.notified("STOPPING=1"));
    EXPECT_THAT(holder.log(), HasSubstr("engine 1 exited with status 0; stopped"));
    EXPECT_TRUE(dead(engine));
    EXPECT_FALSE(std::filesystem::exists(holder.path("run/stats")));
}

TEST(Signals, TermEndsADeafEngineToo) {
    RunningHolder holder({.engine = "deaf"});
    holder.await_notice("READY=1");
    kill(holder.pid(), SIGINT);
    EXPECT_EQ(holder.await_end(), 0);
    EXPECT_THAT(holder.log(), HasSubstr("did not stop in time"));
}

TEST(Signals, TermWhileHeldBack) {
    RunningHolder holder({.engine = "crash"});
    holder.await_log("the next one in 400 ms");
    kill(holder.pid(), SIGTERM);
    EXPECT_EQ(holder.await_end(), 0);
}

TEST(Signals, HangupReplacesTheEngine) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    holder.forget_notices();
    holder.write_config("[data]\npoll_us = 7\n");
    kill(holder.pid(), SIGHUP);
    holder.await_notice("RELOADING=1");
    holder.await_generation(2);
    holder.await_notice("READY=1");
    EXPECT_THAT(holder.log(), HasSubstr("engine 1 exited with status 0"));
}

TEST(Signals, HangupWithAWrongFileChangesNothing) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    holder.write_config("[data]\nspin = 7\n");
    kill(holder.pid(), SIGHUP);
    holder.await_log("unknown key \"data.spin\"");
    EXPECT_EQ(holder.generation(), 1U);
    kill(holder.engine(), SIGKILL);
    holder.await_generation(2);
}

TEST(Signals, HangupWithAGroupThatIsNotThereChangesNothing) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    holder.write_config("api_group = \"no-such-group-here\"\n");
    kill(holder.pid(), SIGHUP);
    holder.await_log("paths.api_group 'no-such-group-here' is no group of this system (make it with: groupadd");
    holder.await_log("going on with the configuration as it was");
    EXPECT_EQ(holder.generation(), 1U);
}

TEST(Signals, HangupSaysWhatNeedsARestart) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    holder.write_config("[limits]\nguests = 7\n");
    kill(holder.pid(), SIGHUP);
    holder.await_log("limits.guests changed in the configuration; that needs: systemctl restart");
}

TEST(Holder, TakesItsEngineAlong) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    pid_t const engine = holder.engine();
    kill(holder.pid(), SIGKILL);
    holder.await_end();
    holder.await("the engine's end", [&] { return dead(engine); });
    // What it left behind is in nobody's way.
    holder.start();
    holder.await_generation(1);
    EXPECT_NE(holder.engine(), engine);
}

// An engine death costs the holder no descriptor.
TEST(Holder, DoesNotGrow) {
    RunningHolder holder({});
    holder.await_notice("READY=1");
    auto const count = [&](char const* what) {
        std::filesystem::directory_iterator const all("/proc/" + std::to_string(holder.pid()) + "/" + what);
        return std::distance(begin(all), end(all));
    };
    auto const cycle = [&](std::uint64_t generation) {
        holder.await_generation(generation);
        holder.await_log("engine " + std::to_string(generation) + " is ready");
        kill(holder.engine(), SIGKILL);
        holder.await_generation(generation + 1);
    };
    cycle(1);
    holder.await_log("engine 2 is ready");
    auto const fds = count("fd");
    for (std::uint64_t generation = 2; generation <= 4; ++generation) {
        cycle(generation);
    }
    holder.await_log("engine 5 is ready");
    EXPECT_EQ(count("fd"), fds);
}

}  // namespace
}  // namespace librettos
