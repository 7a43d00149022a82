// SPDX-License-Identifier: BSD-2-Clause
// Start-up checks of the NIC side.
#include "drivers/nic/preflight.hpp"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "drivers/nic/device.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;

std::uint64_t read_number(fs::path const& path) {
    std::uint64_t value = 0;
    std::ifstream(path) >> value;
    return value;
}

void require_huge_pages(std::uint32_t memory_mib) {
    constexpr std::uint64_t kib_per_mib = 1024;
    std::uint64_t free_kib = 0;
    std::error_code none;
    for (auto const& size : fs::directory_iterator("/sys/kernel/mm/hugepages", none)) {
        std::string const name = size.path().filename();  // hugepages-2048kB
        std::uint64_t const page_kib =
            std::strtoull(name.c_str() + std::min<std::size_t>(name.size(), 10), nullptr, 10);
        free_kib += page_kib * read_number(size.path() / "free_hugepages");
    }
    if (free_kib < memory_mib * kib_per_mib) {
        throw NicError("port.huge_pages is true and port.memory_mib " + std::to_string(memory_mib) + ", but only " +
                       std::to_string(free_kib / kib_per_mib) +
                       " MiB of huge pages are free; reserve them with: sysctl -w " +
                       "vm.nr_hugepages=" + std::to_string((memory_mib + 1) / 2) + " (or write huge_pages = false)");
    }
}

// DPDK reads the same variable.
fs::path pci_devices() {
    char const* const other = std::getenv("SYSFS_PCI_DEVICES");
    return other == nullptr ? "/sys/bus/pci/devices" : other;
}

void require_pci_binding(std::string const& address, bool huge_pages) {
    fs::path const device = pci_devices() / address;
    std::error_code error;
    if (!fs::exists(device, error)) {
        throw NicError("there is no PCI device " + address +
                       "; see those there are with: dpdk-devbind.py --status-dev net");
    }
    fs::path const link = fs::read_symlink(device / "driver", error);
    std::string const driver = error ? "no driver" : link.filename().string();
    // Drivers that DPDK uses beside the kernel's.
    constexpr std::array<std::string_view, 3> bifurcated{"mlx4_core", "mlx5_core", "mana"};
    if (driver == "uio_pci_generic" || driver == "igb_uio") {
        if (!huge_pages) {
            throw NicError("PCI device " + address + " is bound to " + driver +
                           ", which needs port.huge_pages = true; write that, or " +
                           "bind it to vfio-pci with: dpdk-devbind.py --bind=vfio-pci " + address);
        }
        return;
    }
    if (driver != "vfio-pci" && std::find(bifurcated.begin(), bifurcated.end(), driver) == bifurcated.end()) {
        throw NicError("PCI device " + address + " is bound to " + driver +
                       ", not to vfio-pci; bind it with: modprobe vfio-pci && " + "dpdk-devbind.py --bind=vfio-pci " +
                       address + " (the kernel then loses the interface)");
    }
}

void require_interface(Device const& device) {
    std::string const interface = device.argument("iface");
    if (interface.empty()) {
        throw NicError("port.device \"" + device.text + "\" names no interface; write \"" + device.name +
                       ",iface=NAME\" (see: ip link)");
    }
    if (if_nametoindex(interface.c_str()) == 0) {
        throw NicError("there is no interface " + interface + " for port.device \"" + device.text +
                       "\" in this network namespace; see those there are with: ip link");
    }
}

}  // namespace

void require_nic_prerequisites(PortOptions const& port) {
    Device const device(port.device);
    if (port.huge_pages) {
        require_huge_pages(port.memory_mib);
    }
    if (device.pci) {
        require_pci_binding(device.name, port.huge_pages);
    } else if (device.driver == "net_af_packet" || device.driver == "net_af_xdp") {
        require_interface(device);
    } else if (device.driver == "net_tap" && access("/dev/net/tun", R_OK | W_OK) != 0) {
        throw NicError("/dev/net/tun cannot be opened, which " + device.name +
                       " needs; load it with: modprobe tun (and run as root)");
    }
}

}  // namespace librettos
