// SPDX-License-Identifier: BSD-2-Clause
// Filters and pool selection.
#include "tests/nic82599/l2_switch.hpp"

namespace nic82599 {
namespace {

constexpr PoolSet all_pools = ~PoolSet{0};

constexpr PoolSet one(unsigned pool) {
    return PoolSet{1} << pool;
}

}  // namespace

PoolSet L2Switch::pools_with_address(std::uint8_t const* mac) const {
    std::uint32_t const low = mac[0] | mac[1] << 8 | mac[2] << 16 | std::uint32_t{mac[3]} << 24;
    std::uint32_t const high = reg::RAH_VALID | mac[5] << 8 | mac[4];
    PoolSet pools = 0;
    for (unsigned i = 0; i < RegisterFile::receive_addresses; ++i) {
        if (registers_.get(reg::RAL(i)) == low && (registers_.get(reg::RAH(i)) & 0x8000FFFF) == high) {
            pools |= registers_.virtualized() ? registers_.pair(reg::MPSAR_LO(i), reg::MPSAR_HI(i)) : one(0);
        }
    }
    return pools;
}

PoolSet L2Switch::pools_with_vlan(std::uint16_t vlan) const {
    PoolSet pools = 0;
    for (unsigned i = 0; i < RegisterFile::vlan_filters; ++i) {
        std::uint32_t const filter = registers_.get(reg::PFVLVF(i));
        if ((filter & reg::VLVF_VALID) != 0 && (filter & 0xFFF) == vlan) {
            pools |= registers_.pair(reg::PFVLVFB(2 * i), reg::PFVLVFB(2 * i + 1));
        }
    }
    return pools;
}

PoolSet L2Switch::pools_with(std::uint32_t filter_bits) const {
    PoolSet pools = 0;
    for (unsigned pool = 0; pool < RegisterFile::pools; ++pool) {
        if (registers_.has(reg::PFVML2FLT(pool), filter_bits)) {
            pools |= one(pool);
        }
    }
    return pools;
}

// 8.2.3.7.3, 8.2.3.7.7: MCSTCTRL enables the table and chooses the bits of the address that index it.
bool L2Switch::in_multicast_table(std::uint8_t const* mac) const {
    constexpr reg::Offset MCSTCTRL = 0x5090;
    constexpr std::uint32_t filter_enable = reg::bit(2);
    constexpr unsigned shifts[] = {4, 3, 2, 0};
    unsigned const index = (mac[4] | mac[5] << 8) >> shifts[registers_.get(MCSTCTRL) & 3] & 0xFFF;
    return registers_.has(MCSTCTRL, filter_enable) && registers_.in_bitmap(reg::MTA(0), index);
}

bool L2Switch::passes_mac_filter(std::span<std::uint8_t const> frame, Headers const& headers) const {
    std::uint32_t const control = registers_.get(reg::FCTRL);
    if (auto const vlan = headers.vlan_id(); vlan && registers_.has(reg::VLNCTRL, reg::VLNCTRL_VFE)) {
        if (!registers_.in_bitmap(reg::VFTA(0), *vlan)) {
            return false;
        }
    }
    if (is_broadcast(frame)) {
        return (control & reg::FCTRL_BAM) != 0;
    }
    if (is_multicast(frame)) {
        return (control & reg::FCTRL_MPE) != 0 || in_multicast_table(frame.data()) ||
               pools_with_address(frame.data()) != 0;
    }
    return (control & reg::FCTRL_UPE) != 0 || pools_with_address(frame.data()) != 0;
}

// By destination address alone.
PoolSet L2Switch::addressed_pools(std::span<std::uint8_t const> frame) const {
    if (is_broadcast(frame)) {
        return pools_with(reg::VML2FLT_BAM);
    }
    PoolSet pools = pools_with_address(frame.data());
    if (is_multicast(frame)) {
        pools |= pools_with(reg::VML2FLT_MPE);
        if (in_multicast_table(frame.data())) {
            pools |= pools_with(reg::VML2FLT_ROMPE);
        }
    }
    return pools;
}

PoolSet L2Switch::vlan_admits(Headers const& headers) const {
    auto const vlan = headers.vlan_id();
    if (!vlan) {
        return pools_with(reg::VML2FLT_AUPE);
    }
    return registers_.has(reg::VLNCTRL, reg::VLNCTRL_VFE) ? pools_with_vlan(*vlan) : all_pools;
}

L2Switch::Route L2Switch::from_wire(std::span<std::uint8_t const> frame, Headers const& headers) const {
    if (!passes_mac_filter(frame, headers)) {
        return {};
    }
    if (!registers_.virtualized()) {
        return {one(0), false};
    }
    std::uint32_t const control = registers_.get(reg::VT_CTL);
    PoolSet pools = addressed_pools(frame);
    if (pools == 0 && !is_multicast(frame)) {
        // 7.10.3.3: PFUTA names addresses that are let in inexactly, for pools with ROPE.
        unsigned const index = (frame[4] >> 4 | frame[5] << 4) & 0xFFF;
        if (registers_.in_bitmap(reg::PFUTA(0), index)) {
            pools = pools_with(reg::VML2FLT_ROPE);
        }
    }
    if (pools == 0 && (control & reg::VT_CTL_DIS_DEF_POOL) == 0) {
        pools = one(registers_.default_pool());
    }
    if (is_multicast(frame) && (control & reg::VT_CTL_RPL_EN) == 0) {
        pools = one(registers_.default_pool());
    }
    return {pools & vlan_admits(headers), false};
}

L2Switch::Route L2Switch::from_pool(unsigned pool, std::span<std::uint8_t const> frame, Headers const& headers) const {
    if (!registers_.has(reg::PFDTXGSWC, reg::PFDTXGSWC_LBE)) {
        return {0, true};
    }
    PoolSet const pools = addressed_pools(frame) & vlan_admits(headers) & ~one(pool);
    return {pools, is_multicast(frame) || pools == 0};
}

bool L2Switch::spoofed(unsigned pool, std::span<std::uint8_t const> frame, Headers const& headers) const {
    std::uint32_t const checks = registers_.get(reg::PFVFSPOOF(pool / 8)) >> (pool % 8);
    bool const mac_checked = (checks & reg::bit(0)) != 0;
    bool const vlan_checked = (checks & reg::bit(8)) != 0;
    if (mac_checked && (pools_with_address(frame.data() + 6) & one(pool)) == 0) {
        return true;
    }
    auto const vlan = headers.vlan_id();
    return vlan_checked && vlan && (pools_with_vlan(*vlan) & one(pool)) == 0;
}

}  // namespace nic82599
