// SPDX-License-Identifier: BSD-2-Clause
// The files that DPDK's PCI bus and VFIO code read.
#include "tests/nic82599/sysfs_tree.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/pci_addresses.hpp"

namespace nic82599 {
namespace {

namespace fs = std::filesystem;

void write(fs::path const& path, std::string const& text) {
    std::ofstream(path) << text << '\n';
}

std::string resource_lines(Function function) {
    constexpr unsigned long long memory_64_bit = 0x140204;
    unsigned long long const first = 0xFE000000ull + 0x100000ull * static_cast<unsigned>(function.number() + 1);
    unsigned long long const bytes = function.is_pf() ? Nic::pf_bar_bytes : Nic::vf_bar_bytes;
    std::string lines;
    for (int bar = 0; bar < 6; ++bar) {
        char line[80];
        std::snprintf(line, sizeof line, "0x%016llx 0x%016llx 0x%016llx\n", bar == 0 ? first : 0,
                      bar == 0 ? first + bytes - 1 : 0, bar == 0 ? memory_64_bit : 0);
        lines += line;
    }
    return lines;
}

}  // namespace

SysfsTree::SysfsTree(fs::path folder, unsigned vfs) : folder_(std::move(folder)), vfs_(vfs), owner_(getpid()) {
    show(Function::pf());
    for (unsigned vf = 0; vf < vfs_; ++vf) {
        // DPDK passes over what begins with a dot.
        std::string const address = pci_address(Function::vf(vf));
        fs::create_directories(folder_ / ".functions" / address);
        fs::create_directory_symlink("../.functions/" + address,
                                     folder_ / pci_address(Function::pf()) / ("virtfn" + std::to_string(vf)));
        if (mkfifo(reset_file(vf).c_str(), 0600) != 0) {
            throw fs::filesystem_error("mkfifo", reset_file(vf), std::error_code(errno, std::generic_category()));
        }
    }
}

fs::path SysfsTree::reset_file(unsigned vf) const {
    return folder_ / ".functions" / pci_address(Function::vf(vf)) / "reset";
}

SysfsTree::~SysfsTree() {
    if (getpid() == owner_) {
        std::error_code none;
        fs::remove_all(folder_, none);
    }
}

void SysfsTree::show(Function function) const {
    fs::path const device = folder_ / pci_address(function);
    fs::create_directories(device);
    write(device / "vendor", "0x8086");
    write(device / "device", function.is_pf() ? "0x10fb" : "0x10ed");
    write(device / "subsystem_vendor", "0x8086");
    write(device / "subsystem_device", "0x0003");
    write(device / "class", "0x020000");
    write(device / "numa_node", "-1");
    write(device / "resource", resource_lines(function));
    if (function.is_pf()) {
        write(device / "sriov_numvfs", std::to_string(vfs_));
    }
    std::error_code exists;
    fs::create_symlink("../../../bus/pci/drivers/vfio-pci", device / "driver", exists);
    fs::create_symlink("../../../kernel/iommu_groups/" + std::to_string(iommu_group(function)), device / "iommu_group",
                       exists);
}

}  // namespace nic82599
