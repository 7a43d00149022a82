// SPDX-License-Identifier: BSD-2-Clause
// Link strings and environment variables.
#include "guest-frontend/rump/interface_options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

namespace librettos::guest {
namespace {

class Options : public testing::Test {
  protected:
    void TearDown() override {
        for (char const* name : {"LIBRETTOS_GUEST_NAME", "LIBRETTOS_GUEST_MODE", "LIBRETTOS_RING_BYTES", "LIBRETTOS_VF",
                                 "LIBRETTOS_POLL_US"}) {
            unsetenv(name);
        }
    }
};

TEST_F(Options, AUnitTakesTheEnvironments) {
    setenv("LIBRETTOS_GUEST_NAME", "web", 1);
    setenv("LIBRETTOS_GUEST_MODE", "dedicated", 1);
    setenv("LIBRETTOS_RING_BYTES", "1048576", 1);
    setenv("LIBRETTOS_VF", "0000:01:10.0", 1);
    setenv("LIBRETTOS_POLL_US", "0", 1);
    GuestOptions const options = interface_options("0");
    EXPECT_EQ(options.vf, "0000:01:10.0");
    EXPECT_EQ(options.poll_us, 0u);
    EXPECT_EQ(options.name, "web");
    EXPECT_TRUE(options.dedicated);
    EXPECT_EQ(options.ring_bytes, 1048576u);
}

TEST_F(Options, ALinkStringGoesFirst) {
    setenv("LIBRETTOS_GUEST_NAME", "web", 1);
    setenv("LIBRETTOS_VF", "0000:01:10.0", 1);
    GuestOptions const options = interface_options("ring=65536,name=db,mode=shared,vf=none,poll=50,socket=/run/x");
    EXPECT_EQ(options.vf, "none");
    EXPECT_EQ(options.name, "db");
    EXPECT_FALSE(options.dedicated);
    EXPECT_EQ(options.ring_bytes, 65536u);
    EXPECT_EQ(options.poll_us, 50u);
    EXPECT_EQ(options.hypervisor_socket, "/run/x");
}

TEST_F(Options, EveryProcessHasAName) {
    EXPECT_NE(interface_options("3").name, "");
    EXPECT_EQ(interface_options("3").vf, "none");
}

TEST_F(Options, MistakesAreSaid) {
    for (char const* text : {"name=", "mode=both", "ring=", "ring=1k", "ring=-1", "colour=blue", "web",
                             "vf=", "poll=1000001", "poll=", "name=a,,mode=shared"}) {
        EXPECT_THROW(interface_options(text), std::runtime_error) << text;
    }
    setenv("LIBRETTOS_GUEST_MODE", "private", 1);
    EXPECT_THROW(interface_options("0"), std::runtime_error);
}

}  // namespace
}  // namespace librettos::guest
