// SPDX-License-Identifier: BSD-2-Clause
// A place for steering by an 82599: DPDK's PF and two VFs, all in this process, on the model.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "drivers/nic/ixgbe_steering.hpp"
#include "tests/unit/nic82599/pmd_port.hpp"
#include "tests/unit/steering/steering_bench.hpp"

namespace librettos {

inline Sightings sightings_of(std::vector<nic82599::Frame> const& frames) {
    Sightings seen;
    for (auto const& frame : frames) {
        auto const headers = nic82599::parse_headers(frame);
        std::size_t const tag_bytes = headers.vlan_tci ? nic82599::vlan_bytes : 0;
        seen.push_back({nic82599::be32(frame, 14 + tag_bytes), headers.vlan_id().value_or(0)});
    }
    return seen;
}

inline nic82599::Frame frame_of(VfMac const& to, VfMac const& from, std::uint32_t number, std::uint16_t vlan) {
    auto const frame = nic82599::numbered_frame(to, from, number);
    return vlan == 0 ? frame : nic82599::tagged(frame, vlan);
}

class PortEnd final : public Endpoint {
  public:
    PortEnd(nic82599::Laboratory& laboratory, std::uint16_t port) : laboratory_(laboratory), port_(port) {}
    void send(VfMac const& to, VfMac const& from, std::uint32_t number, std::uint16_t vlan) override {
        EXPECT_TRUE(laboratory_.send(port_, frame_of(to, from, number, vlan)));
    }
    Sightings seen() override { return sightings_of(nic82599::Laboratory::received(port_)); }

  private:
    nic82599::Laboratory& laboratory_;
    std::uint16_t port_;
};

class WireEnd final : public Endpoint {
  public:
    explicit WireEnd(nic82599::Laboratory& laboratory) : laboratory_(laboratory) {}
    void send(VfMac const& to, VfMac const& from, std::uint32_t number, std::uint16_t vlan) override {
        laboratory_.nic().receive(frame_of(to, from, number, vlan));
    }
    Sightings seen() override { return sightings_of(laboratory_.wire()); }

  private:
    nic82599::Laboratory& laboratory_;
};

class IxgbeBench final : public SteeringBench {
  public:
    static constexpr unsigned vfs = 2;

    explicit IxgbeBench(std::uint32_t rate_mbps = 0)
        : laboratory_(vfs), wire_(laboratory_), port_(laboratory_, 0), rate_mbps_(rate_mbps) {
        rte_eth_conf conf{};
        conf.intr_conf.lsc = 1;  // as the server has it
        EXPECT_EQ(laboratory_.start(0, conf), 0);
        EXPECT_TRUE(laboratory_.link_comes(0));
        make_steering(0);
    }
    bool has_vlan(std::uint16_t vlan, std::string&) override {
        steering_.reset();
        make_steering(vlan);
        return true;
    }
    nic82599::Nic& nic() { return laboratory_.nic(); }
    // Of a VF that was brought up, in DPDK.
    std::uint16_t port_of(std::uint16_t vf) const { return static_cast<std::uint16_t>(ports_.at(vf)); }
    IxgbeSteering& steering() override { return *steering_; }
    Endpoint& wire() override { return wire_; }
    Endpoint& port() override { return port_; }
    std::unique_ptr<Endpoint> bring_up(std::uint16_t vf) override {
        int& port = ports_.at(vf);
        if (port > 0) {
            EXPECT_EQ(rte_eth_dev_stop(static_cast<std::uint16_t>(port)), 0);
            EXPECT_EQ(rte_eth_dev_start(static_cast<std::uint16_t>(port)), 0);
        } else {
            port = laboratory_.add_vf(vf);
            EXPECT_GT(port, 0);
            rte_eth_conf conf{};
            conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;  // as guests have it
            EXPECT_EQ(laboratory_.start(static_cast<std::uint16_t>(port), conf), 0);
        }
        EXPECT_TRUE(laboratory_.link_comes(static_cast<std::uint16_t>(port)));
        return std::make_unique<PortEnd>(laboratory_, static_cast<std::uint16_t>(port));
    }
    void bring_down(std::uint16_t vf) override { EXPECT_EQ(rte_eth_dev_stop(port_of(vf)), 0); }
    void kill_user(std::uint16_t vf) override { nic().function_level_reset(nic82599::Function::vf(vf)); }

  private:
    void make_steering(std::uint16_t vlan) {
        auto const pf = nic82599::pci_address(nic82599::Function::pf());
        steering_.emplace(IxgbeOptions{
            0, pf, {"0000:01:10.0", "0000:01:10.2"}, rate_mbps_, vlan, IxgbeRegisters::find(pf, nic82599::pf_mac)});
    }

    nic82599::Laboratory laboratory_;
    WireEnd wire_;
    PortEnd port_;
    std::uint32_t rate_mbps_;
    std::optional<IxgbeSteering> steering_;
    std::array<int, vfs> ports_{};
};

}  // namespace librettos
