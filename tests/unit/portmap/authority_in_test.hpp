// SPDX-License-Identifier: BSD-2-Clause
// What authorities have in common that live in the test's own process: nobody but the test calls them, and time is the
// test's.
#pragma once

#include <stdexcept>

#include "tests/unit/portmap/conformance.hpp"

namespace librettos::test {

class AuthorityInTest : public AuthorityUnderTest {
  public:
    bool checks_privileges() const override { return false; }
    int set_limit_as(Guest, DomId, std::uint32_t) override { return no_privileges(); }
    int reserve_as(Guest, std::uint8_t, std::uint16_t, std::uint16_t) override { return no_privileges(); }
    int query_as(Guest, std::uint8_t, std::uint16_t) override { return no_privileges(); }
    int map_as(Guest) override { return no_privileges(); }
    int bind_as_control(std::uint8_t, std::uint16_t) override { return no_privileges(); }
    bool server_can_write() override { return no_privileges() == 0; }
    bool has_test_clock() const override { return true; }

  private:
    static int no_privileges() { throw std::logic_error{"checks_privileges() is false"}; }
};

}  // namespace librettos::test
