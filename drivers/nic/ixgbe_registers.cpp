// SPDX-License-Identifier: BSD-2-Clause
// DPDK keeps the mapping to itself; the kernel shows it in /proc/self/maps. Sections are those of the 82599 datasheet.
#include "drivers/nic/ixgbe_registers.hpp"

#include <fstream>
#include <limits>
#include <sstream>

#include <rte_io.h>

#include "drivers/nic/pci_device.hpp"

namespace librettos {

namespace {

constexpr std::uint32_t STATUS = 0x8, LINKS = 0x42A4, RAL0 = 0xA200, RAH0 = 0xA204;
constexpr std::uint32_t LINKS_UP = 1u << 30;
constexpr std::uint32_t DCTL_ENABLE = 1u << 25;
constexpr std::uint32_t all_ones = std::numeric_limits<std::uint32_t>::max();

// 8.2.3.8.6: two blocks of 64 queues each.
constexpr std::uint32_t RXDCTL(unsigned queue) {
    return queue < 64 ? 0x1028 + 0x40 * queue : 0xD028 + 0x40 * (queue - 64);
}
// 8.2.3.9.10
constexpr std::uint32_t TXDCTL(unsigned queue) {
    return 0x6028 + 0x40 * queue;
}
// 8.3, counters of VFs; the PF finds VF n's in places of its own.
constexpr std::uint32_t PVFGPRC(unsigned vf) {
    return 0x101C + 0x40 * vf;
}
constexpr std::uint32_t PVFGORC_LSB(unsigned vf) {
    return 0x1020 + 0x40 * vf;
}
constexpr std::uint32_t PVFGORC_MSB(unsigned vf) {
    return 0xD020 + 0x40 * vf;
}
constexpr std::uint32_t PVFGPTC(unsigned vf) {
    return 0x8300 + 4 * vf;
}
constexpr std::uint32_t PVFGOTC_LSB(unsigned vf) {
    return 0x8400 + 8 * vf;
}
constexpr std::uint32_t PVFGOTC_MSB(unsigned vf) {
    return 0x8404 + 8 * vf;
}

// Of the first BAR, by the first line of the device's `resource`; 0: unknown.
std::uint64_t bar_bytes(std::string const& pf) {
    std::ifstream file(pci_devices() / pf / "resource");
    std::uint64_t first = 0, last = 0;
    file >> std::hex >> first >> last;
    return file && last > first ? last - first + 1 : 0;
}

}  // namespace

std::optional<IxgbeRegisters> IxgbeRegisters::find(std::string const& pf, VfMac const& mac) {
    auto const bytes = bar_bytes(pf);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; bytes != 0 && std::getline(maps, line);) {
        std::istringstream words(line);
        std::uintptr_t first = 0, end = 0;
        std::uint64_t offset = 0;
        std::string access, device, inode, name;
        char dash = 0;
        words >> std::hex >> first >> dash >> end >> access >> offset >> device >> inode;
        std::getline(words, name);
        bool const is_bar = name.find("[vfio-device]") != std::string::npos || name.ends_with("/" + pf + "/resource0");
        if (!is_bar || offset != 0 || end - first != bytes)
            continue;
        if (IxgbeRegisters const found(first); found.has_mac(mac))
            return found;
    }
    return std::nullopt;
}

std::uint32_t IxgbeRegisters::read(std::uint32_t offset) const {
    return rte_read32(reinterpret_cast<void const*>(base_ + offset));
}

// The high half may move on between the two.
std::uint64_t IxgbeRegisters::read_36_bits(std::uint32_t low, std::uint32_t high) const {
    std::uint64_t const before = read(high), value = read(low), after = read(high);
    return after == before ? before << 32 | value : after << 32 | read(low);
}

// 8.2.3.7.9: the first receive address is the port's.
bool IxgbeRegisters::has_mac(VfMac const& mac) const {
    std::uint64_t const address = std::uint64_t{read(RAH0) & 0xFFFF} << 32 | read(RAL0);
    for (unsigned i = 0; i < mac.size(); ++i) {
        if ((address >> (8 * i) & 0xFF) != mac[i])
            return false;
    }
    return true;
}

bool IxgbeRegisters::answers() const {
    return read(STATUS) != all_ones;
}

VfTraffic IxgbeRegisters::traffic(std::uint16_t vf) const {
    return {read(PVFGPRC(vf)), read_36_bits(PVFGORC_LSB(vf), PVFGORC_MSB(vf)), read(PVFGPTC(vf)),
            read_36_bits(PVFGOTC_LSB(vf), PVFGOTC_MSB(vf))};
}

bool IxgbeRegisters::link_is_up() const {
    return (read(LINKS) & LINKS_UP) != 0;
}

bool IxgbeRegisters::is_enabled(std::uint32_t (*control)(unsigned queue), std::uint16_t vf,
                                unsigned queues_per_vf) const {
    for (unsigned queue = vf * queues_per_vf; queue < (vf + 1u) * queues_per_vf; ++queue) {
        if ((read(control(queue)) & DCTL_ENABLE) != 0)
            return true;
    }
    return false;
}

bool IxgbeRegisters::receives(std::uint16_t vf, unsigned queues_per_vf) const {
    return is_enabled(RXDCTL, vf, queues_per_vf);
}

bool IxgbeRegisters::sends(std::uint16_t vf, unsigned queues_per_vf) const {
    return is_enabled(TXDCTL, vf, queues_per_vf);
}

}  // namespace librettos
