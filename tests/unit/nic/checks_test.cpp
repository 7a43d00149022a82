// SPDX-License-Identifier: BSD-2-Clause
// Device strings, EAL arguments and what start-up checks say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <seccomp.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

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
    EXPECT_THAT(complaint(port_options("net_af_packet0,iface=nosuch0")),
                AllOf(HasSubstr("no interface nosuch0"), HasSubstr("ip link")));
    EXPECT_THAT(complaint(port_options("net_af_xdp0")), HasSubstr("net_af_xdp0,iface=NAME"));
    EXPECT_EQ(complaint(port_options("net_null0")), "");
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
    void tell_page_frames(bool tell) {
        auto const pagemap = root_ / "proc/self/pagemap";
        std::filesystem::create_directories(pagemap.parent_path());
        std::filesystem::remove(pagemap);
        if (tell)
            std::filesystem::create_symlink("/proc/self/pagemap", pagemap);
    }
    StartCheck dma(bool huge_pages = true) const {
        PortOptions port = port_options("0000:03:00.0");
        port.huge_pages = huge_pages;
        port.memory_mib = 0;
        for (auto const& check : check_nic(port, root_)) {
            if (check.name == "DMA addresses")
                return check;
        }
        return {};
    }

  private:
    void write(std::string const& path, std::string const& line) {
        if (line.empty())
            return;
        std::filesystem::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << line << "\n";
    }
    std::filesystem::path root_;
};

TEST(Preflight, PciInAXenPvDomainIsRefused) {
    for (char const* const driver : {"vfio-pci", "uio_pci_generic"}) {
        auto const check = Machine("xen", "PV", driver).dma();
        EXPECT_EQ(check.verdict, StartCheck::Verdict::bad);
        EXPECT_THAT(check.found, HasSubstr("PV domain"));
        EXPECT_THAT(check.mend, AllOf(HasSubstr("pci=[\"03:00.0\"]"), HasSubstr("net_af_packet0,iface=NAME")));
    }
    EXPECT_EQ(Machine("xen", "PV", "mlx5_core").dma().verdict, StartCheck::Verdict::good);
    EXPECT_EQ(Machine("xen", "HVM", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
    EXPECT_EQ(Machine("xen", "PVH", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
    EXPECT_EQ(Machine("", "", "vfio-pci").dma().verdict, StartCheck::Verdict::good);
}

// Whom the kernel tells page frame numbers.
bool has_sys_admin() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("CapEff:"))
            return (std::stoull(line.substr(7), nullptr, 16) >> CAP_SYS_ADMIN & 1U) != 0;
    }
    return false;
}

TEST(Preflight, WithoutAnIommuTheKernelHasToTellPhysicalAddresses) {
    Machine machine("", "", "uio_pci_generic");
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
