// SPDX-License-Identifier: BSD-2-Clause
// Ports of unmodified programs, dynamic and static, against the kernel: claimed before bind() returns, released when
// unused.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdlib>
#include <memory>

#include "guest-frontend/linux/interface.hpp"
#include "guest-frontend/linux/port_service.hpp"
#include "guest-frontend/linux/sysctl.hpp"
#include "tests/unit/linux/port_table.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {
namespace {

class Ports : public testing::TestWithParam<char const*> {
  protected:
    void SetUp() override {
        if (!enter_private_network()) {
            GTEST_SKIP() << "needs root: a network namespace of its own";
        }
        bring_up_loopback();
    }
    // The order of a real guest: ports, programs, answers.
    RunningProgram& run(std::vector<std::string> steps, std::uint16_t block = 512) {
        steps.insert(steps.begin(), GetParam());
        if (!service_) {
            service_.emplace(table_, block);
        }
        program_ = std::make_unique<RunningProgram>(steps, &filter_);
        service_->start(program_->tree().take_listener());
        program_->start();
        return *program_;
    }
    bool leased(unsigned port) const { return port >= 40000 && port < 40512; }
    static unsigned port_of(std::string const& line) {
        return static_cast<unsigned>(std::atoi(line.c_str() + line.rfind(' ') + 1));
    }

    PortTable table_;
    BindFilter filter_;
    std::optional<PortService> service_;
    std::unique_ptr<RunningProgram> program_;
};

INSTANTIATE_TEST_SUITE_P(Linked, Ports, testing::Values(DYNAMIC_PROGRAM, STATIC_PROGRAM),
                         [](auto const& linked) { return linked.index == 0 ? "Dynamically" : "Statically"; });

TEST_P(Ports, AreClaimedBeforeBindReturns) {
    auto& program = run({"tcp4", "bind", "0.0.0.0", "8080", "wait", "udp4", "bind", "0.0.0.0", "5353", "wait"});
    EXPECT_EQ(program.line(), "tcp4 ok 0");
    EXPECT_EQ(program.line(), "bind ok 8080");
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
    EXPECT_FALSE(table_.ours(Protocol::udp, 8080));
    program.go_on();
    EXPECT_EQ(program.line(), "udp4 ok 0");
    EXPECT_EQ(program.line(), "bind ok 5353");
    EXPECT_TRUE(table_.ours(Protocol::udp, 5353));
}

TEST_P(Ports, OfAnotherGuestAreInUse) {
    table_.give_to_stranger(Protocol::tcp, 80);
    auto& program =
        run({"tcp4", "bind", "0.0.0.0", "80", "bind", "0.0.0.0", "81", "udp4", "bind", "0.0.0.0", "80", "wait"});
    program.line();
    EXPECT_EQ(program.line(), "bind EADDRINUSE 0");
    EXPECT_EQ(program.line(), "bind ok 81");
    program.line();
    EXPECT_EQ(program.line(), "bind ok 80");
    EXPECT_TRUE(table_.ours(Protocol::udp, 80));
}

TEST_P(Ports, BeyondTheLimitAreInUse) {
    table_.limit(0);
    auto& program = run({"tcp4", "bind", "0.0.0.0", "80"});
    program.line();
    EXPECT_EQ(program.line(), "bind EADDRINUSE 0");
}

TEST_P(Ports, OnLoopbackAreNotClaimed) {
    auto& program = run({"tcp4", "bind", "127.0.0.1", "8080", "tcp6", "bind", "::1", "8081", "udp6", "bind",
                         "::ffff:127.1.2.3", "8082", "wait"});
    for (char const* const expected :
         {"tcp4 ok 0", "bind ok 8080", "tcp6 ok 0", "bind ok 8081", "udp6 ok 0", "bind ok 8082"}) {
        EXPECT_EQ(program.line(), expected);
    }
    EXPECT_EQ(table_.count(), 0u);
}

TEST_P(Ports, OfDualStackSocketsAreClaimedOnce) {
    auto& program = run({"tcp6", "bind", "::", "8080", "listen", "tcp6", "v6only", "bind", "::", "8081", "wait"});
    program.line();
    EXPECT_EQ(program.line(), "bind ok 8080");
    EXPECT_EQ(program.line(), "listen ok 8080");
    program.line();
    program.line();
    EXPECT_EQ(program.line(), "bind ok 8081");
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8081));
    EXPECT_EQ(table_.count(), 2u);
}

TEST_P(Ports, ThatTheKernelChoosesAreLeased) {
    auto& program = run({"tcp4", "listen", "udp4", "bind",    "0.0.0.0",   "0", "tcp6", "bind",
                         "::",   "0",      "udp4", "sendto",  "127.0.0.1", "9", "udp6", "sendto",
                         "::1",  "9",      "udp4", "connect", "127.0.0.1", "9", "wait"});
    for (int i = 0; i < 6; ++i) {
        program.line();
        std::string const said = program.line();
        EXPECT_TRUE(leased(port_of(said))) << said;
    }
    EXPECT_EQ(table_.count(), 0u);
}

TEST_P(Ports, OfConnectionsWithoutBindAreLeased) {
    auto& program = run({"tcp4", "bind", "0.0.0.0", "8080", "listen", "tcp4", "connect", "127.0.0.1", "8080"});
    program.line();
    program.line();
    program.line();
    program.line();
    std::string const said = program.line();
    EXPECT_EQ(said.rfind("connect ok", 0), 0u) << said;
    EXPECT_TRUE(leased(port_of(said))) << said;
}

TEST_P(Ports, StayWhileOneOfSeveralWorkersIsLeft) {
    auto& program = run({"tcp4", "reuseport", "bind", "0.0.0.0", "8080", "listen", "exec", "tcp4", "reuseport", "bind",
                         "0.0.0.0", "8080", "listen", "close", "wait"});
    for (char const* const expected : {"tcp4 ok 0", "reuseport ok 0", "bind ok 8080", "listen ok 8080", "tcp4 ok 0",
                                       "reuseport ok 0", "bind ok 8080", "listen ok 8080", "close ok 0"}) {
        EXPECT_EQ(program.line(), expected);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080)) << "the first worker still listens";
    program.go_on();
    EXPECT_EQ(program.wait(), 0);
    EXPECT_TRUE(eventually([&] { return !table_.ours(Protocol::tcp, 8080); }));
}

TEST_P(Ports, AreReleasedAfterClose) {
    auto& program = run({"tcp4", "bind", "0.0.0.0", "8080", "listen", "close", "udp6", "bind", "::", "5353", "close",
                         "tcp4", "bind", "0.0.0.0", "8081", "close", "wait"});
    for (int i = 0; i < 10; ++i) {
        program.line();
    }
    EXPECT_TRUE(eventually([&] { return table_.count() == 0; })) << "while the program runs on";
}

TEST_P(Ports, BoundButIdleAreKept) {
    auto& program = run({"tcp4", "bind", "0.0.0.0", "8080", "wait"});
    program.line();
    program.line();
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
}

TEST_P(Ports, AreKeptUntilTimeWaitIsOver) {
    auto& program = run({"timewait", "8080", "wait"});
    EXPECT_EQ(program.line(), "timewait ok 0");
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
    if (std::system("ss -K -t state time-wait >/dev/null 2>&1") != 0) {
        GTEST_SKIP() << "ss(8) cannot end TIME_WAIT here";
    }
    EXPECT_TRUE(eventually([&] { return !table_.ours(Protocol::tcp, 8080); }));
}

TEST_P(Ports, OfFailedBindsAreGivenBack) {
    auto& program =
        run({"tcp4", "bind", "192.0.2.77", "8080", "bind", "0.0.0.0", "8081", "bind", "0.0.0.0", "8082", "wait"});
    program.line();
    EXPECT_EQ(program.line(), "bind EADDRNOTAVAIL 0");
    EXPECT_EQ(program.line(), "bind ok 8081");
    EXPECT_EQ(program.line(), "bind EINVAL 8081");
    EXPECT_FALSE(table_.ours(Protocol::tcp, 8080));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8081));
    EXPECT_FALSE(table_.ours(Protocol::tcp, 8082));
}

TEST_P(Ports, RacedForByThreads) {
    auto& program = run({"race", "32", "8080", "0", "race", "32", "9000", "1", "wait"});
    EXPECT_EQ(program.line(), "race 1");
    EXPECT_EQ(program.line(), "race 32");
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 9031));
}

TEST_P(Ports, OfForkedAndExecutedProgramsAreClaimed) {
    auto& program = run({"exec", "exec", "tcp4", "bind", "0.0.0.0", "8080", "wait"});
    program.line();
    EXPECT_EQ(program.line(), "bind ok 8080");
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
}

TEST_P(Ports, PrivilegedAreRefusedToUnprivilegedPrograms) {
    auto& program = run({"tcp4", "drop", "bind", "0.0.0.0", "80", "bind", "0.0.0.0", "1024"});
    program.line();
    program.line();
    EXPECT_EQ(program.line(), "bind EACCES 0");
    EXPECT_EQ(program.line(), "bind ok 1024");
    EXPECT_FALSE(table_.ours(Protocol::tcp, 80));
}

TEST_P(Ports, ByI386SystemCallsAreClaimed) {
#if !defined(__x86_64__)
    GTEST_SKIP() << "x86-64 only";
#endif
    auto& program = run({"tcp4", "bind32", "8080", "tcp4", "socketcall32", "8081", "wait"});
    program.line();
    EXPECT_EQ(program.line(), "bind32 ok 8080");
    program.line();
    EXPECT_EQ(program.line(), "socketcall32 ok 8081");
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8080));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 8081));
}

TEST_P(Ports, LeaveOtherSocketsAlone) {
    auto& program = run({"unix", "iouring", "unshare", "tcp4", "bind", "0.0.0.0", "8080", "wait"});
    EXPECT_EQ(program.line(), "unix ok 0");
    EXPECT_EQ(program.line(), "iouring ENOSYS 0") << "a ring could bind without a trap";
    program.line();
    program.line();
    EXPECT_EQ(program.line(), "bind ok 8080");
    EXPECT_EQ(table_.count(), 0u) << "that socket is in another network namespace";
}

TEST_P(Ports, SurviveAProgramKilledInMidCall) {
    table_.close_gate();
    auto& program = run({"exec", "tcp4", "bind", "0.0.0.0", "8080", "wait"});
    program.line();
    table_.wait_for_a_bind();
    program.tree().signal_all(SIGKILL);
    EXPECT_EQ(program.wait(), 128 + SIGKILL);
    table_.open_gate();
    EXPECT_TRUE(eventually([&] { return table_.count() == 0; })) << "the claim of the dead program is released";
}

TEST_P(Ports, BoundBehindOurBackAreClaimedLate) {
    auto& program = run({"tcp4", "wait"});
    program.line();
    Descriptor const inherited = checked_descriptor(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7777);
    ASSERT_EQ(bind(inherited.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_TRUE(eventually([&] { return table_.ours(Protocol::udp, 7777); }));
}

TEST_P(Ports, AreClaimedAgainOfAnotherPortmap) {
    auto& program = run({"tcp4", "bind", "0.0.0.0", "8080", "listen", "udp4", "bind", "0.0.0.0", "0", "wait"});
    program.line();
    program.line();
    EXPECT_EQ(program.line(), "listen ok 8080");
    program.line();
    auto const leased_before = port_of(program.line());
    ASSERT_TRUE(leased(leased_before));
    table_.forget();
    service_->begin_anew();
    EXPECT_TRUE(eventually([&] { return table_.ours(Protocol::tcp, 8080); }));
    EXPECT_TRUE(eventually([&] { return table_.ours(Protocol::udp, static_cast<std::uint16_t>(leased_before)); }))
        << "of a block that is not ours any more, and in use";
    EXPECT_EQ(table_.leases(), 2u);
    EXPECT_EQ(read_sysctl("net/ipv4/ip_local_port_range"), "45000\t45511\n");
}

TEST_P(Ports, AreLeasedAnewWhenMostAreTaken) {
    auto& program = run({"many", "400", "wait"});
    EXPECT_EQ(program.line(), "many 400");
    EXPECT_TRUE(eventually([&] { return table_.leases() == 2; }));
    EXPECT_TRUE(eventually([&] { return read_sysctl("net/ipv4/ip_local_port_range") == "40000\t45511\n"; }));
    EXPECT_EQ(read_sysctl("net/ipv4/ip_local_reserved_ports"), "40512-44999\n");
}

TEST_P(Ports, AreLeasedAtOnceWhenNoneIsLeft) {
    auto& program = run({"many", "20", "wait"}, 8);
    EXPECT_EQ(program.line(), "many 20");
    EXPECT_EQ(table_.leases(), 3u);
}

TEST_P(Ports, RunOutWhenNoLeaseIsGiven) {
    auto& program = run({"many", "30", "wait"}, 8);
    EXPECT_EQ(program.line(), "many 24");
}

}  // namespace
}  // namespace librettos::guest
