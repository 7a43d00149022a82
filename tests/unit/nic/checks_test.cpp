// SPDX-License-Identifier: BSD-2-Clause
// Device strings, EAL arguments and what start-up checks say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <seccomp.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "drivers/nic/device.hpp"
#include "drivers/nic/eal.hpp"
#include "drivers/nic/preflight.hpp"
#include "tests/unit/nic/wire.hpp"

namespace librettos {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Device, IsTakenApart) {
    Device const tap("net_tap12,iface=lvif0,mac=fixed");
    EXPECT_EQ(tap.name, "net_tap12");
    EXPECT_EQ(tap.driver, "net_tap");
    EXPECT_FALSE(tap.pci);
    EXPECT_EQ(tap.argument("iface"), "lvif0");
    EXPECT_EQ(tap.argument("mac"), "fixed");
    EXPECT_EQ(tap.argument("if"), "");
    EXPECT_TRUE(Device("0000:03:00.1").pci);
    Device const brief("03:00.1,option=1");
    EXPECT_TRUE(brief.pci);
    EXPECT_EQ(brief.name, "0000:03:00.1");
    EXPECT_EQ(brief.text, "0000:03:00.1,option=1");
    EXPECT_FALSE(Device("0000:03:00.x").pci);
}

TEST(EalArguments, SoftwarePort) {
    auto const arguments = eal_arguments(port_options("net_tap0,iface=lvif0"));
    for (char const* wanted :
         {"--no-huge", "--no-pci", "--vdev=net_tap0,iface=lvif0", "--iova-mode=va", "--no-shconf", "64"}) {
        EXPECT_THAT(arguments, Contains(std::string(wanted)));
    }
}

TEST(EalArguments, PciPortWithHugePages) {
    PortOptions options = port_options("03:00.0");
    options.huge_pages = true;
    options.eal = {"--log-level=8"};
    auto const arguments = eal_arguments(options);
    EXPECT_THAT(arguments, Contains("0000:03:00.0"));
    EXPECT_THAT(arguments, Contains("--in-memory"));
    EXPECT_EQ(arguments.back(), "--log-level=8");
    for (char const* unwanted : {"--no-huge", "--no-pci", "--iova-mode=va"}) {
        EXPECT_THAT(arguments, Not(Contains(std::string(unwanted))));
    }
}

std::string complaint(PortOptions const& port) {
    try {
        require_nic_prerequisites(port);
        return "";
    } catch (NicError const& error) {
        return error.what();
    }
}

TEST(Preflight, Interfaces) {
    EXPECT_THAT(complaint(port_options("nosuch0")), AllOf(HasSubstr("no interface nosuch0"), HasSubstr("ip link")));
    EXPECT_THAT(complaint(port_options("net_af_xdp0")), HasSubstr("net_af_xdp0,iface=NAME"));
    EXPECT_EQ(complaint(port_options("net_null0")), "");
}

TEST(EalArguments, WithMachineAddressesTheDeviceComesLater) {
    auto const arguments = eal_arguments(port_options("03:00.0"), true);
    for (char const* wanted : {"--no-huge", "--iova-mode=va", "-a"}) {
        EXPECT_THAT(arguments, Contains(std::string(wanted)));
    }
    EXPECT_THAT(arguments, Not(Contains(HasSubstr("03:00.0"))));
}

TEST(Preflight, HugePages) {
    PortOptions port = port_options("net_null0");
    port.huge_pages = true;
    port.memory_mib = 1024 * 1024;
    EXPECT_THAT(complaint(port), AllOf(HasSubstr("sysctl -w vm.nr_hugepages=524288"), HasSubstr("huge_pages = false")));
}

// A made-up /sys/bus/pci/devices with one device bound to `driver`.
class PciTree {
  public:
    explicit PciTree(std::string const& driver)
        : root_(std::filesystem::temp_directory_path() / ("librettos-pci-" + std::to_string(getpid()))) {
        std::filesystem::create_directories(root_ / "0000:03:00.0");
        if (!driver.empty()) {
            std::filesystem::create_symlink("../../drivers/" + driver, root_ / "0000:03:00.0/driver");
        }
        setenv("SYSFS_PCI_DEVICES", root_.c_str(), 1);
    }
    ~PciTree() {
        unsetenv("SYSFS_PCI_DEVICES");
        std::filesystem::remove_all(root_);
    }

  private:
    std::filesystem::path root_;
};

TEST(Preflight, PciBinding) {
    PortOptions const port = port_options("0000:03:00.0");
    {
        PciTree const tree("ixgbe");
        EXPECT_THAT(complaint(port),
                    AllOf(HasSubstr("bound to ixgbe"), HasSubstr("dpdk-devbind.py --bind=vfio-pci 0000:03:00.0")));
        EXPECT_THAT(complaint(port_options("0000:04:00.0")), HasSubstr("no PCI device 0000:04:00.0"));
    }
    {
        PciTree const tree("");
        EXPECT_THAT(complaint(port), HasSubstr("bound to no driver"));
    }
    {
        PciTree const tree("vfio-pci");
        EXPECT_EQ(complaint(port), "");
    }
    PciTree const tree("uio_pci_generic");
    EXPECT_THAT(complaint(port), HasSubstr("port.huge_pages = true"));
}

// A made-up machine of that kind, with one PCI device.
class Machine {
  public:
    Machine(std::string const& hypervisor, std::string const& guest_type, std::string const& driver)
        : root_(std::filesystem::temp_directory_path() / ("librettos-machine-" + std::to_string(getpid()))) {
        write("sys/hypervisor/type", hypervisor);
        write("sys/hypervisor/guest_type", guest_type);
        auto const device = root_ / "sys/bus/pci/devices/0000:03:00.0";
        std::filesystem::create_directories(device);
        std::filesystem::create_symlink("../../drivers/" + driver, device / "driver");
    }
    ~Machine() { std::filesystem::remove_all(root_); }
    // Page frame numbers of this process: the kernel's real ones, or nothing.
    void tell_page_frames(bool tell) const {
        auto const pagemap = root_ / "proc/self/pagemap";
        std::filesystem::create_directories(pagemap.parent_path());
        std::filesystem::remove(pagemap);
        if (tell)
            std::filesystem::create_symlink("/proc/self/pagemap", pagemap);
    }
    StartCheck check(std::string const& name, bool huge_pages = false, OpenMachineAddresses open = nullptr) const {
        PortOptions port = port_options("0000:03:00.0");
        port.huge_pages = huge_pages;
        port.memory_mib = 0;
        for (auto const& each : check_nic(port, root_, open)) {
            if (each.name == name)
                return each;
        }
        return {};
    }
    StartCheck dma(bool huge_pages = true, OpenMachineAddresses open = nullptr) const {
        return check("DMA addresses", huge_pages, open);
    }
    void write(std::string const& path, std::string const& line) const {
        if (line.empty())
            return;
        std::filesystem::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << line << "\n";
    }

  private:
    std::filesystem::path root_;
};

// Whom the kernel tells page frame numbers.
bool has_sys_admin() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("CapEff:"))
            return (std::stoull(line.substr(7), nullptr, 16) >> CAP_SYS_ADMIN & 1U) != 0;
    }
    return false;
}

TEST(Preflight, InAXenPvDomainOnlyTheHypervisorKnowsAddresses) {
    auto const vfio = Machine("xen", "PV", "vfio-pci").dma();
    EXPECT_EQ(vfio.verdict, StartCheck::Verdict::bad);
    EXPECT_THAT(vfio.mend, HasSubstr("--bind=uio_pci_generic 0000:03:00.0"));
    auto const uio = Machine("xen", "PV", "uio_pci_generic").dma();
    EXPECT_EQ(uio.verdict, StartCheck::Verdict::bad) << "nobody to ask";
    EXPECT_THAT(uio.found, HasSubstr("PV domain"));
    EXPECT_THAT(uio.mend, AllOf(HasSubstr("pci=[\"03:00.0\"]"), HasSubstr("\"NAME\"")));
    auto const denied = Machine("xen", "PV", "uio_pci_generic").dma(false, []() -> std::unique_ptr<MachineAddresses> {
        throw std::system_error(EPERM, std::generic_category(), "no hypercalls for you");
    });
    EXPECT_EQ(denied.verdict, StartCheck::Verdict::bad);
    EXPECT_THAT(denied.found, HasSubstr("no hypercalls for you"));
    EXPECT_EQ(Machine("xen", "PV", "mlx5_core").dma().verdict, StartCheck::Verdict::good);
}

TEST(Preflight, APvDomainsDeviceIsBoundToUioWithoutHugePages) {
    auto const binding = [](Machine const& machine, bool huge_pages) {
        return machine.check("PCI device 0000:03:00.0", huge_pages);
    };
    EXPECT_EQ(binding(Machine("xen", "PV", "uio_pci_generic"), false).verdict, StartCheck::Verdict::good);
    EXPECT_THAT(binding(Machine("xen", "PV", "uio_pci_generic"), true).mend, HasSubstr("huge_pages = false"));
    EXPECT_THAT(binding(Machine("xen", "PV", "igb"), false).mend, HasSubstr("--bind=uio_pci_generic 0000:03:00.0"));
}

TEST(Preflight, APvDomainsDeviceHasToBeResettable) {
    Machine const machine("xen", "PV", "uio_pci_generic");
    EXPECT_EQ(machine.check("NIC reset").verdict, StartCheck::Verdict::bad);
    EXPECT_THAT(machine.check("NIC reset").found, HasSubstr("kill -9"));
    machine.write("sys/bus/pci/devices/0000:03:00.0/reset", "0");
    EXPECT_EQ(machine.check("NIC reset").verdict, StartCheck::Verdict::good);
}

TEST(Preflight, ElsewhereXenOrAnIommuTranslates) {
    EXPECT_EQ(Machine("xen", "HVM", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
    EXPECT_EQ(Machine("xen", "PVH", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
    EXPECT_EQ(Machine("", "", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
    if (has_sys_admin()) {
        Machine const machine("xen", "HVM", "uio_pci_generic");
        machine.tell_page_frames(true);
        auto const uio = machine.dma();
        EXPECT_EQ(uio.verdict, StartCheck::Verdict::good);
        EXPECT_THAT(uio.found, HasSubstr("type HVM"));
    }
    Machine const translated("", "", "uio_pci_generic");
    translated.write("sys/bus/pci/devices/0000:03:00.0/iommu_group/type", "DMA-FQ");
    EXPECT_EQ(translated.dma().verdict, StartCheck::Verdict::bad);
    EXPECT_THAT(translated.dma().mend, HasSubstr("--bind=vfio-pci"));
}

TEST(Preflight, WithoutAnIommuTheKernelHasToTellPhysicalAddresses) {
    Machine const machine("", "", "uio_pci_generic");
    machine.tell_page_frames(false);
    EXPECT_EQ(machine.dma().verdict, StartCheck::Verdict::bad);
    EXPECT_THAT(machine.dma().mend, HasSubstr("CAP_SYS_ADMIN"));
    machine.tell_page_frames(true);
    EXPECT_EQ(machine.dma().verdict == StartCheck::Verdict::good, has_sys_admin());
}

TEST(Eal, SaysWhatFailed) {
    std::string const failure = in_process(false, [] { Eal const eal(port_options("net_nosuchdriver0")); });
    EXPECT_THAT(failure, AllOf(HasSubstr("--vdev=net_nosuchdriver0"), HasSubstr("it said:")));
}

TEST(Eal, MemoryIsSharedWithChildren) {
    EXPECT_EQ(in_process(false,
                         [] {
                             Eal const eal(port_options("net_null0"));
                             require(eal_memory_survives_fork(), "private memory");
                         }),
              "");
}

// DPDK falls back to private memory then, silently.
TEST(Eal, RefusesPrivateMemory) {
    std::string const failure = in_process(false, [] {
        scmp_filter_ctx const filter = seccomp_init(SCMP_ACT_ALLOW);
        require(filter != nullptr && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(memfd_create), 0) == 0 &&
                    seccomp_load(filter) == 0,
                "seccomp");
        Eal const eal(port_options("net_null0"));
    });
    EXPECT_THAT(failure, HasSubstr("memfd_create does not work here"));
}

}  // namespace
}  // namespace librettos
