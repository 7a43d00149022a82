// SPDX-License-Identifier: BSD-2-Clause
// The user half of a rump kernel's PCI bus on the software 82599, as NetBSD's bus and driver use it.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "guest-frontend/rump/ixv/hypercalls.h"
#include "guest-frontend/rump/pci/contract.h"
#include "guest-frontend/rump/pci/ixv_vf_module.h"
#include "guest-frontend/rump/pci/pci_bus.hpp"
#include "tests/nic82599/in_process.hpp"
#include "tests/nic82599/registers.hpp"
#include "tests/unit/errno_of.hpp"
#include "tests/unit/eventually.hpp"
#include "tests/unit/rump/kernel_double.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace librettos::guest {
namespace {

namespace reg = nic82599::reg;
using nic82599::Function;

constexpr nic82599::Eeprom::Mac nic_mac{0x00, 0x1B, 0x21, 0x01, 0x02, 0x03};
constexpr unsigned id_register = 0x00, command_register = 0x04, bar0 = 0x10, bar1 = 0x14;

std::string const vf_address = nic82599::pci_address(Function::vf(0));
std::string const pf_address = nic82599::pci_address(Function::pf());
// Before the bus of this process is looked at for the first time.
int const named = setenv("LIBRETTOS_VF", vf_address.c_str(), 1);

class OnTheNic : public testing::Test {
  protected:
    OnTheNic()
        : nic_(nic_mac, 2, folder_.file("devices"), [this](std::span<std::uint8_t const> frame) {
              wire_.assign(frame.begin(), frame.end());
              on_wire_ = true;
          }) {
        nic_.sysfs().show(Function::vf(0));
    }
    void TearDown() override { EXPECT_EQ(test::KernelDouble::instance().reset(), std::vector<std::string>{}); }

    static std::uint32_t volatile* memory_of(VfioFunction& function) {
        return static_cast<std::uint32_t volatile*>(function.map(function.read_config(bar0) & ~0xFu, 0x4000));
    }

    test::TemporaryFolder folder_;
    std::vector<std::uint8_t> wire_;
    std::atomic<bool> on_wire_ = false;
    nic82599::InProcess nic_;
};

TEST_F(OnTheNic, ConfigurationSpace) {
    VfioFunction function(vf_address);
    EXPECT_EQ(function.read_config(id_register), 0x10ED8086u);
    EXPECT_EQ(function.read_config(4096), ~0u);
    EXPECT_EQ(function.read_config(2), ~0u);
    function.write_config(command_register, 0x6);
    EXPECT_EQ(function.read_config(command_register), 0x00100006u) << "what is the function's own stays";
}

TEST_F(OnTheNic, BaseAddressesTellTheirSize) {
    VfioFunction function(vf_address);
    std::uint32_t const address = function.read_config(bar0);
    EXPECT_EQ(address & 0xF, 4u) << "memory, 64 bits";
    EXPECT_EQ(function.read_config(bar1), 0u);
    function.write_config(bar0, ~0u);
    EXPECT_EQ(function.read_config(bar0), 0xFFFFC004u);
    function.write_config(bar1, ~0u);
    EXPECT_EQ(function.read_config(bar1), ~0u);
    function.write_config(bar0, address);
    function.write_config(bar1, 0);
    EXPECT_EQ(function.read_config(bar0), address);
    EXPECT_EQ(function.read_config(0x18), 0u);
    EXPECT_EQ(function.read_config(0x1C), 0u) << "the MSI-X table cannot be mapped";
}

TEST_F(OnTheNic, MemoryIsMapped) {
    VfioFunction function(vf_address);
    auto* const memory = memory_of(function);
    ASSERT_NE(memory, nullptr);
    EXPECT_NE(memory[reg::vf::VTLINKS / 4] & reg::LINKS_UP, 0u);
    std::uint64_t const address = function.read_config(bar0) & ~0xFu;
    EXPECT_EQ(function.map(address + 0x100, 0x3F00), memory + 0x40);
    EXPECT_EQ(function.map(address, 0x4001), nullptr);
    EXPECT_EQ(function.map(address + 0x4001, 1), nullptr);
    EXPECT_EQ(function.map(address - 1, 1), nullptr);
    EXPECT_EQ(function.map(0, 1), nullptr);
}

// By the PF's first send queue, which needs nobody's leave.
TEST_F(OnTheNic, TheDeviceReachesTheKernelsMemory) {
    DmaMemory memory;
    VfioFunction function(pf_address);
    memory.show_to(
        [&](void* place, std::uint64_t address, std::size_t bytes) { function.map_for_dma(place, address, bytes); });
    auto* const frame = static_cast<std::uint8_t*>(memory.allocate(60, 64));
    auto* const ring = static_cast<std::uint32_t*>(memory.allocate(8 * 16, 128));
    std::memset(frame, 0x5A, 60);
    std::memset(ring, 0, 8 * 16);
    std::uint64_t const address = memory.bus_address(frame), ring_address = memory.bus_address(ring);
    ring[0] = static_cast<std::uint32_t>(address);
    ring[1] = static_cast<std::uint32_t>(address >> 32);
    ring[2] = 60 | 0x0B000000;  // end, with FCS, report

    auto* const registers =
        static_cast<std::uint32_t volatile*>(function.map(function.read_config(bar0) & ~0xFu, 0x20000));
    ASSERT_NE(registers, nullptr);
    auto const write = [&](reg::Offset offset, std::uint32_t value) { registers[offset / 4] = value; };
    reg::Offset const queue = reg::tx_queue(0);
    write(queue + reg::BAL, static_cast<std::uint32_t>(ring_address));
    write(queue + reg::BAH, static_cast<std::uint32_t>(ring_address >> 32));
    write(queue + reg::LEN, 8 * 16);
    write(reg::DMATXCTL, reg::DMATXCTL_TE);
    write(queue + reg::DCTL, reg::DCTL_ENABLE);
    write(queue + reg::TAIL, 1);
    EXPECT_TRUE(eventually([this] { return on_wire_.load(); }));
    EXPECT_EQ(wire_, std::vector<std::uint8_t>(60, 0x5A));
    EXPECT_EQ(__atomic_load_n(&ring[3], __ATOMIC_ACQUIRE) & 1, 1u) << "reported as sent";
    EXPECT_EQ(test::errno_of([&] { function.map_for_dma(frame - (address & 4095), address & ~4095ull, 4096); }),
              EEXIST);
}

TEST_F(OnTheNic, InterruptsComeAsEvents) {
    VfioFunction function(vf_address);
    ASSERT_EQ(function.vectors(), 3u);
    auto* const registers = memory_of(function);
    int const event = function.interrupt(1);
    pollfd waiting{event, POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 0), 0);
    registers[reg::vf::VTIVAR(0) / 4] = 0x8181;  // both of queue 0 by vector 1
    registers[reg::vf::VTEIMS / 4] = 2;
    registers[reg::vf::VTEICS / 4] = 2;
    EXPECT_EQ(poll(&waiting, 1, 60'000), 1);
    EXPECT_THROW(function.interrupt(3), std::out_of_range);
}

TEST_F(OnTheNic, WhatIsNotThereIsSaid) {
    auto const said = [](char const* address) -> std::string {
        try {
            VfioFunction const function(address);
            return "it opened";
        } catch (std::system_error const& error) {
            return error.what();
        }
    };
    EXPECT_NE(said("0000:01:1f.7").find("there is no PCI function 0000:01:1f.7"), std::string::npos);
    std::filesystem::create_directories(folder_.file("devices/0000:02:00.0"));
    EXPECT_NE(said("0000:02:00.0").find("IOMMU"), std::string::npos);
    std::filesystem::create_directory_symlink("../iommu_groups/9999", folder_.file("devices/0000:02:00.0/iommu_group"));
    EXPECT_NE(said("0000:02:00.0").find("bound to vfio-pci"), std::string::npos);
    if (!std::filesystem::exists("/dev/vfio/vfio")) {
        nic82599::route_libc_calls(nullptr);
        EXPECT_NE(said(vf_address.c_str()).find("modprobe vfio-pci"), std::string::npos);
    }
}

// ---- as the kernel uses it

struct Handled {
    std::atomic<unsigned> times = 0;
    std::atomic<bool> scheduled = true;
};

int handle(void* argument) {
    auto* const handled = static_cast<Handled*>(argument);
    handled->scheduled = handled->scheduled && test::KernelDouble::is_scheduled();
    ++handled->times;
    return 1;
}

TEST_F(OnTheNic, InterruptsRunTheHandlerInTheKernel) {
    PciBus bus(vf_address);
    EXPECT_FALSE(bus.name_vector(7, 0)) << "nobody has looked at the bus";
    ASSERT_NE(bus.function_at(0, 0, 0), nullptr);
    ASSERT_TRUE(bus.name_vector(7, 0));
    EXPECT_FALSE(bus.name_vector(7, 1)) << "the handle has a vector";
    EXPECT_EQ(bus.driven(pf_address), nullptr);
    Handled handled;
    ASSERT_NE(bus.establish(7, handle, &handled), nullptr);
    EXPECT_EQ(bus.driven(vf_address), bus.function_at(0, 0, 0));
    auto* const registers = memory_of(*bus.function_at(0, 0, 0));
    registers[reg::vf::VTIVAR(0) / 4] = 0x8080;  // both of queue 0 by vector 0
    registers[reg::vf::VTEIMS / 4] = 1;
    registers[reg::vf::VTEICS / 4] = 1;
    EXPECT_TRUE(eventually([&] { return handled.times > 0; }));
    EXPECT_TRUE(handled.scheduled);
}

TEST_F(OnTheNic, WhatNoDriverHasIsLetGoOf) {
    PciBus bus(vf_address);
    ASSERT_NE(bus.function_at(0, 0, 0), nullptr);
    ASSERT_NE(bus.memory().allocate(100, 64), nullptr);
    EXPECT_EQ(bus.driven(vf_address), nullptr);
    EXPECT_EQ(bus.function_at(0, 0, 0), nullptr);
    EXPECT_EQ(bus.establish(7, handle, nullptr), nullptr);
    EXPECT_NE(bus.memory().allocate(DmaMemory::chunk_bytes, 64), nullptr) << "no device has to be shown it";
    EXPECT_NO_THROW(VfioFunction{vf_address});
}

TEST_F(OnTheNic, ABusWithoutAFunctionIsEmpty) {
    for (char const* const address : {"none", "", "0000:07:00.0"}) {
        PciBus bus(address);
        EXPECT_EQ(bus.function_at(0, 0, 0), nullptr);
        EXPECT_FALSE(bus.name_vector(7, 0));
        EXPECT_EQ(bus.establish(7, handle, nullptr), nullptr);
    }
}

class PciBusOfTheProcess : public OnTheNic {
  protected:
    // Its threads live as long as the process; there is one.
    void TearDown() override {
        EXPECT_TRUE(eventually([] { return test::KernelDouble::instance().known_threads() == 1; }));
        EXPECT_EQ(test::KernelDouble::instance().reset(),
                  std::vector<std::string>{"a thread ended without kthread_release()"});
    }
};

TEST_F(PciBusOfTheProcess, ADriverGetsItsFunctionAndTheInterfaceItsVf) {
    unsigned value = 0;
    EXPECT_NE(rumpcomp_pci_confread(0, 1, 0, 0, &value), 0);
    EXPECT_EQ(value, ~0u);
    ASSERT_EQ(rumpcomp_pci_confread(0, 0, 0, 0, &value), 0);
    EXPECT_EQ(value, 0x10ED8086u);
    EXPECT_EQ(rumpcomp_pci_confwrite(0, 0, 0, command_register, 6), 0);
    EXPECT_NE(rumpcomp_pci_confwrite(0, 0, 1, command_register, 6), 0);
    ASSERT_EQ(rumpcomp_pci_confread(0, 0, 0, bar0, &value), 0);
    auto* const registers = static_cast<std::uint32_t volatile*>(rumpcomp_pci_map(value & ~0xFu, 0x4000));
    ASSERT_NE(registers, nullptr);

    void* page = nullptr;
    ASSERT_EQ(rumpuser_malloc(4096, 4096, &page), 0);
    unsigned long address = 0, cookie = 0;
    ASSERT_EQ(rumpcomp_pci_dmalloc(8192, 128, &address, &cookie), 0);
    rumpcomp_pci_dmaseg segment{address, 8192, cookie};
    void* ring = nullptr;
    ASSERT_EQ(rumpcomp_pci_dmamem_map(&segment, 1, 8192, &ring), 0);
    EXPECT_EQ(rumpcomp_pci_virt_to_mach(ring), address);
    EXPECT_NE(rumpcomp_pci_virt_to_mach(page), 0u) << "any of the kernel's memory";
    EXPECT_EQ(rumpcomp_pci_virt_to_mach(&page), 0u) << "nothing else";
    rumpcomp_pci_dmafree(cookie, 8192);
    rumpuser_free(page, 4096);

    EXPECT_EQ(rumpcomp_librettos_msix_vectors(0, 0, 0), 3u);
    EXPECT_EQ(rumpcomp_librettos_msix_vectors(0, 2, 0), 0u);
    EXPECT_NE(rumpcomp_pci_irq_map(0, 0, 0, 3, 70), 0) << "no such vector";
    ASSERT_EQ(rumpcomp_pci_irq_map(0, 0, 0, 0, 71), 0);
    EXPECT_EQ(rumpcomp_pci_irq_establish(72, handle, nullptr), nullptr) << "no such handle";
    static Handled handled;
    ASSERT_NE(rumpcomp_pci_irq_establish(71, handle, &handled), nullptr);
    EXPECT_EQ(librettos_ixv_vf_create("0000:01:10.2"), nullptr) << "another one";
    lvif_vf* const vf = librettos_ixv_vf_create(vf_address.c_str());
    ASSERT_NE(vf, nullptr);
    librettos_ixv_vf_destroy(vf);
}

}  // namespace
}  // namespace librettos::guest
