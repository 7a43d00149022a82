// SPDX-License-Identifier: BSD-2-Clause
// What every portmap authority has to do, written once against this interface (librettos/portmap.h is the
// specification). To run it on another authority: implement AuthorityUnderTest, link librettos_portmap_conformance, and
//   INSTANTIATE_TEST_SUITE_P(Name, PortmapConformance, testing::Values(make_it));
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <librettos/portmap.h>

#include "portmap/reader.hpp"

namespace librettos::test {

struct Guest {
    int handle = -1;
    DomId domain;
};

struct QueryAnswer {
    std::uint32_t entry = 0;
    std::uint32_t age_s = 0;
    std::uint32_t quarantine_left_s = 0;
    std::uint32_t owner_ports = 0;
    std::uint32_t owner_limit = 0;
    std::string owner_name;
};

// Functions that return int return 0 or a negative errno.
class AuthorityUnderTest {
  public:
    virtual ~AuthorityUnderTest() = default;

    virtual Guest create_guest(std::string const& name) = 0;
    virtual void destroy_guest(Guest guest) = 0;  // done on return

    virtual int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) = 0;
    virtual int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) = 0;
    virtual int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) = 0;

    // As the control domain.
    virtual int set_limit(DomId domain, std::uint32_t ports) = 0;
    virtual int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) = 0;
    virtual int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) = 0;

    // The same as a guest. False: this authority leaves it to its caller to tell who asks.
    virtual bool checks_privileges() const = 0;
    virtual int set_limit_as(Guest caller, DomId domain, std::uint32_t ports) = 0;
    virtual int reserve_as(Guest caller, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) = 0;
    virtual int query_as(Guest caller, std::uint8_t protocol, std::uint16_t port) = 0;
    virtual int map_as(Guest caller) = 0;
    virtual int bind_as_control(std::uint8_t protocol, std::uint16_t port) = 0;

    // The table as the server maps it.
    virtual lvif_portmap const& table() = 0;
    // Tries to get at the table for writing, by all ways that the server has. True: it could.
    virtual bool server_can_write() = 0;

    // Lets time pass; exact where the authority's clock is the test's, at least that long otherwise.
    virtual void pass(std::chrono::milliseconds time) = 0;
    virtual bool has_test_clock() const = 0;
};

// With this time of quarantine and otherwise default settings.
using AuthorityFactory = std::function<std::unique_ptr<AuthorityUnderTest>(std::chrono::seconds quarantine)>;

class PortmapConformance : public testing::TestWithParam<AuthorityFactory> {
  protected:
    static constexpr std::uint8_t tcp = IPPROTO_TCP;
    static constexpr std::uint8_t udp = IPPROTO_UDP;
    static constexpr std::uint8_t both = LVIF_PORT_TCP_AND_UDP;

    void start(std::chrono::seconds quarantine = std::chrono::hours{1}) { authority_ = GetParam()(quarantine); }
    PortEntry entry(std::uint8_t protocol, std::uint16_t port) {
        return read_port(authority_->table(), protocol, port);
    }
    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port) {
        std::uint16_t bound = 0;
        int const status = authority_->bind(guest, protocol, port, &bound);
        EXPECT_TRUE(status != 0 || bound == port) << bound;
        return status;
    }
    bool is_free(std::uint8_t protocol, std::uint16_t port) { return entry(protocol, port).word() == 0; }

    std::unique_ptr<AuthorityUnderTest> authority_;
};

}  // namespace librettos::test
