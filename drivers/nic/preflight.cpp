// SPDX-License-Identifier: BSD-2-Clause
// Start-up checks of the NIC side.
#include "drivers/nic/preflight.hpp"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "drivers/nic/device.hpp"
#include "drivers/nic/dma_checks.hpp"
#include "drivers/nic/pci_device.hpp"

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

// A PV domain has no huge pages and no IOMMU: uio and ordinary pages, whose machine addresses are looked up.
StartCheck check_pv_binding(std::string const& address, bool huge_pages, fs::path const& root) {
    auto const name = "PCI device " + address;
    auto const driver = driver_of(address, root);
    if (huge_pages)
        return bad(name, "this is a Xen PV domain: it has no huge pages", "write huge_pages = false");
    if (is_uio(driver) || is_bifurcated(driver))
        return good(name, "bound to " + driver);
    return bad(name, name + " is bound to " + driver + ", not to uio_pci_generic",
               "bind it with: modprobe uio_pci_generic && dpdk-devbind.py --bind=uio_pci_generic " + address +
                   " (the kernel then loses the interface)");
}

StartCheck check_pci_binding(std::string const& address, bool huge_pages, fs::path const& root) {
    auto const name = "PCI device " + address;
    std::error_code error;
    if (!fs::exists(pci_devices(root) / address, error))
        return bad(name, "there is no PCI device " + address,
                   "see those there are with: dpdk-devbind.py --status-dev net");
    if (is_pv_domain(root))
        return check_pv_binding(address, huge_pages, root);
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

StartCheck check_interface(Device const& device) {
    std::string const interface = device.interface.empty() ? device.argument("iface") : device.interface;
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

std::vector<StartCheck> check_nic(PortOptions const& port, fs::path const& root, OpenMachineAddresses open) {
    Device const device(port.device);
    std::vector<StartCheck> checks;
    if (port.huge_pages && !(device.pci && is_pv_domain(root)))
        checks.push_back(check_huge_pages(port.memory_mib, root));
    if (device.pci) {
        checks.push_back(check_pci_binding(device.name, port.huge_pages, root));
        for (auto& check : check_dma(device.name, root, open))
            checks.push_back(std::move(check));
    } else if (!device.interface.empty() || device.driver == "net_af_xdp") {
        checks.push_back(check_interface(device));
    } else if (device.driver == "net_tap") {
        checks.push_back(check_tun(device, root));
    }
    return checks;
}

void require_nic_prerequisites(PortOptions const& port, OpenMachineAddresses open) {
    for (auto const& check : check_nic(port, "/", open)) {
        if (check.verdict == StartCheck::Verdict::bad)
            throw NicError(check.found + "; " + check.mend);
    }
}

}  // namespace librettos
