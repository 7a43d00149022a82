// SPDX-License-Identifier: BSD-2-Clause
// A test on a fake machine of its own, at whose end nothing may be left open.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "drivers/hypervisor/xen/xen_hypervisor.hpp"
#include "tests/unit/errno_of.hpp"
#include "tests/unit/xen/fake_xen.hpp"
#include "tests/unit/xen/xen_guest.hpp"

namespace librettos::test {

// A portmap without an authority, for what is not about ports.
class EmptyPortmap final : public PortmapSource {
  public:
    std::string_view authority() const override { return "server"; }
    lvif_portmap const& table() const override { return *table_; }
    PortInfo query(std::uint8_t, std::uint16_t) override { return {}; }
    void set_limit(DomId, std::uint32_t) override {}
    void reserve(std::uint8_t, std::uint16_t, std::uint16_t, bool) override {}

  private:
    std::unique_ptr<lvif_portmap> table_ = std::make_unique<lvif_portmap>();
};

class OnXen : public testing::Test {
  protected:
    OnXen() { xen.reset(); }
    ~OnXen() override {
        xen.no_faults();
        EXPECT_EQ(xen.open(), FakeXen::Open{}) << "left open";
    }

    FakeXen& xen = FakeXen::machine();
};

}  // namespace librettos::test
