// SPDX-License-Identifier: BSD-2-Clause
// Start-up checks of the NIC side.
#include "drivers/nic/preflight.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "drivers/nic/device.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;

StartCheck good(std::string name, std::string found) {
    return {std::move(name), StartCheck::Verdict::good, std::move(found), ""};
}

StartCheck bad(std::string name, std::string found, std::string mend) {
    return {std::move(name), StartCheck::Verdict::bad, std::move(found), std::move(mend)};
}

std::string first_line(fs::path const& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

StartCheck check_huge_pages(std::uint32_t memory_mib, fs::path const& root) {
    constexpr std::uint64_t kib_per_mib = 1024;
    std::uint64_t free_kib = 0;
    std::error_code none;
    for (auto const& size : fs::directory_iterator(root / "sys/kernel/mm/hugepages", none)) {
        std::string const name = size.path().filename();  // hugepages-2048kB
        std::uint64_t const page_kib =
            std::strtoull(name.c_str() + std::min<std::size_t>(name.size(), 10), nullptr, 10);
        free_kib += page_kib * std::strtoull(first_line(size.path() / "free_hugepages").c_str(), nullptr, 10);
    }
    auto const free_text = std::to_string(free_kib / kib_per_mib) + " MiB of huge pages are free";
    if (free_kib >= memory_mib * kib_per_mib)
        return good("huge pages", free_text + ", " + std::to_string(memory_mib) + " MiB are wanted");
    return bad("huge pages",
               "port.huge_pages is true and port.memory_mib " + std::to_string(memory_mib) + ", but only " + free_text,
               "reserve them with: sysctl -w vm.nr_hugepages=" + std::to_string((memory_mib + 1) / 2) +
                   " (or write huge_pages = false)");
}

// DPDK reads the same variable.
fs::path pci_devices(fs::path const& root) {
    char const* const other = std::getenv("SYSFS_PCI_DEVICES");
    return other == nullptr ? root / "sys/bus/pci/devices" : fs::path(other);
}

std::string driver_of(std::string const& address, fs::path const& root) {
    std::error_code error;
    fs::path const link = fs::read_symlink(pci_devices(root) / address / "driver", error);
    return error ? "no driver" : link.filename().string();
}

bool is_uio(std::string_view driver) {
    return driver == "uio_pci_generic" || driver == "igb_uio";
}

// Drivers that DPDK uses beside the kernel's, which maps memory for them.
bool is_bifurcated(std::string_view driver) {
    return driver == "mlx4_core" || driver == "mlx5_core" || driver == "mana";
}

StartCheck check_pci_binding(std::string const& address, bool huge_pages, fs::path const& root) {
    auto const name = "PCI device " + address;
    std::error_code error;
    if (!fs::exists(pci_devices(root) / address, error))
        return bad(name, "there is no PCI device " + address,
                   "see those there are with: dpdk-devbind.py --status-dev net");
    auto const driver = driver_of(address, root);
    if (is_uio(driver) && !huge_pages)
        return bad(name, name + " is bound to " + driver + ", which needs port.huge_pages = true",
                   "write that, or bind it to vfio-pci with: dpdk-devbind.py --bind=vfio-pci " + address);
    if (driver == "vfio-pci" || is_uio(driver) || is_bifurcated(driver))
        return good(name, "bound to " + driver);
    return bad(name, name + " is bound to " + driver + ", not to vfio-pci",
               "bind it with: modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci " + address +
                   " (the kernel then loses the interface)");
}

// The kernel gives page frame numbers as zero to those whom it does not trust with them.
bool knows_own_addresses(fs::path const& root) {
    auto const page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    alignas(4096) static std::uint8_t volatile probe[4096];
    probe[0] = 1;
    std::uint64_t entry = 0;
    int const fd = open((root / "proc/self/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
    auto const at = reinterpret_cast<std::uintptr_t>(&probe[0]) / page_bytes * sizeof entry;
    bool const read = fd >= 0 && pread(fd, &entry, sizeof entry, static_cast<off_t>(at)) == sizeof entry;
    if (fd >= 0)
        close(fd);
    constexpr std::uint64_t frame_mask = (std::uint64_t{1} << 55) - 1;
    return read && (entry & frame_mask) != 0;
}

// The NIC writes to the addresses that DPDK tells it: when these are not those of its buffers, it writes over somebody
// else's memory. An IOMMU translates them (vfio-pci); without one they must be those of the machine. In a Xen PV domain
// the kernel's numbers are not the machine's, and nothing translates.
StartCheck check_dma(std::string const& address, fs::path const& root) {
    std::string const name = "DMA addresses";
    auto const driver = driver_of(address, root);
    if (is_bifurcated(driver))
        return good(name, "the kernel's driver " + driver + " maps the memory");
    auto const guest_type = first_line(root / "sys/hypervisor/type") == "xen"
                                ? first_line(root / "sys/hypervisor/guest_type")
                                : std::string();
    if (guest_type == "PV")
        return bad(name,
                   "this is a Xen PV domain: the physical addresses that DPDK reads are not the machine's, and " +
                       address + " would write to memory of others",
                   "give the NIC to an HVM or PVH driver domain (type=\"hvm\", pci=[\"" + address.substr(5) +
                       "\"] in its xl configuration) and run the server there, or use the kernel's driver: device = "
                       "\"net_af_packet0,iface=NAME\"");
    if (!is_uio(driver))
        return good(name, driver == "vfio-pci" ? "translated by the IOMMU" : "looked at once it is bound");
    if (knows_own_addresses(root))
        return good(name, "physical, as /proc/self/pagemap has them");
    return bad(
        name, "without an IOMMU DPDK needs physical addresses, which the kernel does not tell this process",
        "run it as root with CAP_SYS_ADMIN, or bind the device to vfio-pci with: dpdk-devbind.py --bind=vfio-pci " +
            address);
}

StartCheck check_interface(Device const& device) {
    std::string const interface = device.argument("iface");
    if (interface.empty())
        return bad("interface", "port.device \"" + device.text + "\" names no interface",
                   "write \"" + device.name + ",iface=NAME\" (see: ip link)");
    if (if_nametoindex(interface.c_str()) == 0)
        return bad(
            "interface",
            "there is no interface " + interface + " for port.device \"" + device.text + "\" in this network namespace",
            "see those there are with: ip link");
    return good("interface", interface + " is there");
}

StartCheck check_tun(Device const& device, fs::path const& root) {
    if (access((root / "dev/net/tun").c_str(), R_OK | W_OK) == 0)
        return good("TAP", "/dev/net/tun can be opened");
    return bad("TAP", "/dev/net/tun cannot be opened, which " + device.name + " needs",
               "load it with: modprobe tun (and run as root)");
}

}  // namespace

std::vector<StartCheck> check_nic(PortOptions const& port, fs::path const& root) {
    Device const device(port.device);
    std::vector<StartCheck> checks;
    if (port.huge_pages)
        checks.push_back(check_huge_pages(port.memory_mib, root));
    if (device.pci) {
        checks.push_back(check_pci_binding(device.name, port.huge_pages, root));
        checks.push_back(check_dma(device.name, root));
    } else if (device.driver == "net_af_packet" || device.driver == "net_af_xdp") {
        checks.push_back(check_interface(device));
    } else if (device.driver == "net_tap") {
        checks.push_back(check_tun(device, root));
    }
    return checks;
}

void require_nic_prerequisites(PortOptions const& port) {
    for (auto const& check : check_nic(port)) {
        if (check.verdict == StartCheck::Verdict::bad)
            throw NicError(check.found + "; " + check.mend);
    }
}

}  // namespace librettos
