// SPDX-License-Identifier: BSD-2-Clause
// Ports claimed behind the application's back: a stack whose bind and detach are interposed, beside another guest.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "guest-frontend/rump/netbsd.h"
#include "tests/unit/rump/rump_guest.hpp"
#include "tests/unit/rump/tcpip_double.h"

namespace librettos::test {
namespace {

using guest::Protocol;

void* bound_at_the_end = nullptr;

// Destroyed behind all that is the component's, as a thread of the kernel's may still run then.
struct Last {
    ~Last() {
        if (bound_at_the_end != nullptr) {
            _exit(double_bind(bound_at_the_end, 99, 1));
        }
    }
};
__attribute__((init_priority(101))) Last last;

class RumpPorts : public RumpGuest {
  protected:
    void TearDown() override {
        {
            InKernel const in_kernel;
            for (void* socket : sockets_) {
                double_close(socket);
            }
        }
        RumpGuest::TearDown();
    }
    void* open(double_protocol protocol, int ipv6 = 0) {
        InKernel const in_kernel;
        sockets_.push_back(double_socket(protocol, ipv6));
        return sockets_.back();
    }
    static int bind(void* socket, std::uint16_t port, int loopback = 0) {
        InKernel const in_kernel;
        return double_bind(socket, port, loopback);
    }
    static int connect(void* socket) {
        InKernel const in_kernel;
        return double_connect(socket);
    }
    void* accept(void* listener) {
        InKernel const in_kernel;
        sockets_.push_back(double_accept(listener));
        return sockets_.back();
    }
    void close(void* socket) {
        std::erase(sockets_, socket);
        InKernel const in_kernel;
        double_close(socket);
    }
    // The second guest may have it: nobody else has.
    bool is_free(Protocol protocol, std::uint16_t port) {
        if (second_->ports().claim(protocol, port) != 0) {
            return false;
        }
        second_->ports().give_back(protocol, port);
        return true;
    }
    bool becomes_free(Protocol protocol, std::uint16_t port) {
        return eventually([&] { return second_->ports().claim(protocol, port) == 0; });
    }

    std::vector<void*> sockets_;
};

TEST_F(RumpPorts, AreClaimedWhileTheProgramEnds) {
    auto const end = [this] {
        bound_at_the_end = open(DOUBLE_TCP);
        std::exit(1);
    };
    EXPECT_EXIT(end(), testing::ExitedWithCode(0), "");
}

TEST_F(RumpPorts, ClaimedBeforeBindReturns) {
    start();
    EXPECT_EQ(bind(open(DOUBLE_TCP), 80), 0);
    EXPECT_FALSE(is_free(Protocol::tcp, 80));
    EXPECT_TRUE(is_free(Protocol::udp, 80));
    EXPECT_EQ(bind(open(DOUBLE_UDP, 1), 53), 0);
    EXPECT_FALSE(is_free(Protocol::udp, 53));
}

TEST_F(RumpPorts, AnothersPortIsInUse) {
    start();
    ASSERT_EQ(second_->ports().claim(Protocol::tcp, 80), 0);
    void* const socket = open(DOUBLE_TCP);
    EXPECT_EQ(bind(socket, 80), NETBSD_EADDRINUSE);
    EXPECT_EQ(double_port(socket), 0);
    EXPECT_EQ(bind(socket, 81), 0) << "the socket is as before";
}

TEST_F(RumpPorts, AnswersOfTheStackStay) {
    start();
    EXPECT_EQ(bind(open(DOUBLE_TCP), 80), 0);
    EXPECT_EQ(bind(open(DOUBLE_TCP), 80), NETBSD_EADDRINUSE);
    EXPECT_FALSE(is_free(Protocol::tcp, 80)) << "the refused one does not take the claim of the other along";
}

TEST_F(RumpPorts, TheStackChoosesFromALease) {
    start();
    void* const bound = open(DOUBLE_TCP);
    EXPECT_EQ(bind(bound, 0), 0);
    void* const connected = open(DOUBLE_UDP, 1);
    EXPECT_EQ(connect(connected), 0);
    EXPECT_FALSE(is_free(Protocol::tcp, double_port(bound)));
    EXPECT_FALSE(is_free(Protocol::udp, double_port(connected)));
}

TEST_F(RumpPorts, AnotherBlockWhenOneIsUsedUp) {
    start();
    std::vector<std::uint16_t> ports;
    for (int i = 0; i < 700; ++i) {
        void* const socket = open(DOUBLE_TCP);
        ASSERT_EQ(connect(socket), 0) << i;
        ports.push_back(double_port(socket));
    }
    std::sort(ports.begin(), ports.end());
    EXPECT_EQ(std::unique(ports.begin(), ports.end()), ports.end());
    for (std::uint16_t port : ports) {
        ASSERT_FALSE(is_free(Protocol::tcp, port));
    }
}

TEST_F(RumpPorts, GivenBackWithTheLastSocket) {
    start();
    void* const listener = open(DOUBLE_TCP);
    ASSERT_EQ(bind(listener, 80), 0);
    void* const first = accept(listener);
    void* const second = accept(listener);
    close(listener);
    close(first);
    EXPECT_FALSE(is_free(Protocol::tcp, 80));
    close(second);
    EXPECT_TRUE(becomes_free(Protocol::tcp, 80));
}

TEST_F(RumpPorts, ASocketOfTheOtherFamilyKeepsIt) {
    start();
    void* const four = open(DOUBLE_UDP);
    void* const six = open(DOUBLE_UDP, 1);
    ASSERT_EQ(bind(four, 53), 0);
    ASSERT_EQ(bind(six, 53), 0);
    close(six);
    EXPECT_FALSE(is_free(Protocol::udp, 53));
    close(four);
    EXPECT_TRUE(becomes_free(Protocol::udp, 53));
}

TEST_F(RumpPorts, LoopbackIsNobodysBusiness) {
    start();
    ASSERT_EQ(second_->ports().claim(Protocol::tcp, 80), 0);
    EXPECT_EQ(bind(open(DOUBLE_TCP), 80, 1), 0);
    EXPECT_EQ(bind(open(DOUBLE_TCP, 1), 80, 1), 0);
}

TEST_F(RumpPorts, WhatWasBoundBeforeIsClaimedWithTheInterface) {
    EXPECT_EQ(bind(open(DOUBLE_TCP), 80), 0);
    start();
    EXPECT_FALSE(is_free(Protocol::tcp, 80));
}

TEST_F(RumpPorts, RawSocketsHaveNoPorts) {
    start();
    EXPECT_NE(open(DOUBLE_RAW), nullptr);
}

// A stack that puts new blocks elsewhere: better no socket than one that hears nothing.
TEST_F(RumpPorts, AnUnknownRevisionIsRefused) {
    start();
    double_break_tables(1);
    void* const socket = open(DOUBLE_TCP);
    double_break_tables(0);
    EXPECT_EQ(bind(socket, 80), NETBSD_EADDRNOTAVAIL);
    EXPECT_TRUE(is_free(Protocol::tcp, 80));
}

}  // namespace
}  // namespace librettos::test
