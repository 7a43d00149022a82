// SPDX-License-Identifier: BSD-2-Clause
// The NIC writes to the addresses that DPDK tells it: when these are not those of its buffers, it writes over somebody
// else's memory. An IOMMU translates them (vfio-pci). Without one they must be those of the machine, which are the
// kernel's own, except in a Xen PV domain, where only the hypervisor knows.
#include "drivers/nic/dma_checks.hpp"

#include <cerrno>
#include <fstream>
#include <system_error>

#include "drivers/nic/dma_memory.hpp"
#include "drivers/nic/pci_device.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;
using Verdict = StartCheck::Verdict;

constexpr char name[] = "DMA addresses";

std::string first_line(fs::path const& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

std::string guest_type(fs::path const& root) {
    return first_line(root / "sys/hypervisor/type") == "xen" ? first_line(root / "sys/hypervisor/guest_type") : "";
}

std::string other_ways(std::string const& address) {
    return "give the NIC to an HVM or PVH driver domain (type=\"hvm\", pci=[\"" + address.substr(5) +
           "\"] in its xl configuration) and run the server there, or use the kernel's driver: device = "
           "\"NAME\"";
}

StartCheck check_reset(std::string const& address, fs::path const& root) {
    if (can_be_reset(address, root))
        return {"NIC reset", Verdict::good, "the kernel can reset " + address + " before each start", ""};
    return {"NIC reset", Verdict::bad,
            "the kernel cannot reset " + address +
                ": after a kill -9 of the server the NIC would write to memory that is no longer the server's",
            other_ways(address)};
}

// What the server does with all its memory, with little.
StartCheck check_machine_addresses(std::string const& address, OpenMachineAddresses open) try {
    constexpr std::size_t sample_bytes = std::size_t{4} << 20;
    if (open == nullptr)
        throw std::system_error(EOPNOTSUPP, std::generic_category(), "this program has no way to machine addresses");
    DmaMemory const sample(LockedMemory(sample_bytes), ContiguousNeed{}, open());
    std::vector<MachinePage> pages;
    for (auto const& region : sample.regions())
        for (auto const frame : region.machine_frames)
            pages.push_back({frame, static_cast<std::uint32_t>(pages.size())});
    return {name, Verdict::good,
            "the machine's, from Xen's machine-to-physical table: all " + std::to_string(pages.size()) +
                " pages of a sample are where it says, the longest run of them has " +
                std::to_string(longest_run(pages)) + " pages; an IOMMU maps a PV domain's memory one to one",
            ""};
} catch (DmaRefused const& refusal) {
    return {name, Verdict::bad, std::string("this is a Xen PV domain: ") + refusal.what(), refusal.mend};
} catch (std::system_error const& error) {
    return {name, Verdict::bad,
            std::string("this is a Xen PV domain: only the hypervisor knows where its memory is in the machine, and it "
                        "does not say (") +
                error.what() + "); " + address + " would write to memory of others",
            "in dom0 run it as root, with libxen-dev there when it was built; in a PV driver domain nobody may know: " +
                other_ways(address)};
}

std::vector<StartCheck> check_pv(std::string const& address, fs::path const& root, OpenMachineAddresses open) {
    auto const driver = driver_of(address, root);
    if (driver == "vfio-pci")
        return {{name, Verdict::bad, "this is a Xen PV domain: no IOMMU is seen here, and vfio-pci cannot do without",
                 "bind it with: modprobe uio_pci_generic && dpdk-devbind.py --bind=uio_pci_generic " + address}};
    if (!is_uio(driver))
        return {{name, Verdict::good, "looked at once it is bound", ""}};
    return {check_reset(address, root), check_machine_addresses(address, open)};
}

StartCheck check_uio(std::string const& address, fs::path const& root, std::string const& guest) {
    if (is_translated(address, root))
        return {name, Verdict::bad,
                "an IOMMU translates what " + address + " says, and uio gives it no address of its buffers",
                "bind it to vfio-pci with: dpdk-devbind.py --bind=vfio-pci " + address};
    try {
        alignas(page_bytes) static std::byte volatile probe[page_bytes];
        probe[0] = std::byte{1};
        frames_of(const_cast<std::byte const*>(&probe[0]), 1, (root / "proc/self/pagemap").c_str());
    } catch (DmaRefused const&) {
        return {name, Verdict::bad,
                "without an IOMMU DPDK needs physical addresses, which the kernel does not tell this process",
                "run it as root with CAP_SYS_ADMIN, or bind the device to vfio-pci with: dpdk-devbind.py "
                "--bind=vfio-pci " +
                    address};
    }
    return {name, Verdict::good,
            guest.empty() ? "physical, as /proc/self/pagemap has them"
                          : "the domain's physical ones, as /proc/self/pagemap has them: Xen has the IOMMU translate "
                            "them for the devices of a domain of type " +
                                guest,
            ""};
}

}  // namespace

bool is_pv_domain(fs::path const& root) {
    return guest_type(root) == "PV";
}

std::vector<StartCheck> check_dma(std::string const& address, fs::path const& root, OpenMachineAddresses open) {
    auto const driver = driver_of(address, root);
    if (is_bifurcated(driver))
        return {{name, Verdict::good, "the kernel's driver " + driver + " maps the memory", ""}};
    if (is_pv_domain(root))
        return check_pv(address, root, open);
    if (is_uio(driver))
        return {check_uio(address, root, guest_type(root))};
    return {{name, Verdict::good, driver == "vfio-pci" ? "translated by the IOMMU" : "looked at once it is bound", ""}};
}

}  // namespace librettos
