// SPDX-License-Identifier: BSD-2-Clause
// Starting, outliving and ending the programs of a guest.
#include "guest-frontend/linux/command_tree.hpp"

#include <gtest/gtest.h>

#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {
namespace {

TEST(CommandTree, TellsTheExitStatus) {
    RunningProgram program({"/bin/sh", "-c", "exit 7"}, nullptr);
    program.start();
    EXPECT_EQ(program.wait(), 7);
}

TEST(CommandTree, TellsTheSignal) {
    RunningProgram program({"/bin/sh", "-c", "kill -USR1 $$"}, nullptr);
    program.start();
    EXPECT_EQ(program.wait(), 128 + SIGUSR1);
}

TEST(CommandTree, SaysWhyACommandCannotBeExecuted) {
    RunningProgram program({"/nonexistent/command"}, nullptr);
    try {
        program.start();
        FAIL() << "must throw";
    } catch (std::system_error const& error) {
        EXPECT_EQ(error.code().value(), ENOENT);
        EXPECT_NE(std::string(error.what()).find("execute /nonexistent/command"), std::string::npos) << error.what();
    }
}

TEST(CommandTree, RunsNothingBeforeItIsStarted) {
    RunningProgram program({"/bin/echo", "started"}, nullptr);
    EXPECT_FALSE(program.tree().reap());
    program.start();
    EXPECT_EQ(program.line(), "started");
    EXPECT_EQ(program.wait(), 0);
}

TEST(CommandTree, ForwardsSignals) {
    RunningProgram program({"/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"}, nullptr);
    program.start();
    EXPECT_EQ(program.line(), "ready");
    program.tree().forward(SIGTERM);
    EXPECT_EQ(program.wait(), 5);
}

TEST(CommandTree, LivesUntilTheLastDescendantHasEnded) {
    RunningProgram program({DYNAMIC_PROGRAM, "daemon", "daemon", "tcp4", "wait"}, nullptr);
    program.start();
    EXPECT_EQ(program.line(), "tcp4 ok 0");
    for (int i = 0; i < 10; ++i) {
        EXPECT_FALSE(program.tree().reap()) << "the daemon lives";
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    program.go_on();
    EXPECT_EQ(program.wait(), 0);
}

TEST(CommandTree, ForwardsSignalsToWhatTheCommandLeftBehind) {
    RunningProgram program({"/bin/sh", "-c", "sleep 1000 & exit 7"}, nullptr);
    program.start();
    ASSERT_TRUE(eventually([&] {
        EXPECT_FALSE(program.tree().reap());
        return program.tree().exit_status() == 7;
    })) << "the command itself ends before";
    ASSERT_TRUE(eventually([&] {
        program.tree().forward(SIGTERM);
        return program.tree().reap();
    }));
    EXPECT_EQ(program.tree().exit_status(), 7);
}

TEST(CommandTree, EndsThemAll) {
    RunningProgram program(
        {"/bin/sh", "-c",
         "(sleep 1000; :) & (sh -c 'sleep 1000; :' & sleep 1000; :) & echo ready; while :; do sleep 1000; done"},
        nullptr);
    program.start();
    EXPECT_EQ(program.line(), "ready");
    EXPECT_TRUE(eventually([&] {
        program.tree().signal_all(SIGKILL);
        return program.tree().reap();
    }));
    EXPECT_EQ(program.tree().exit_status(), 128 + SIGKILL);
}

}  // namespace
}  // namespace librettos::guest
