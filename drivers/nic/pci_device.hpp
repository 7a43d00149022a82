// SPDX-License-Identifier: BSD-2-Clause
// A PCI device as the kernel shows it in sysfs: its driver, its translation, its reset, and who uses it.
//
// A NIC that its process left by SIGKILL is still programmed: it would write frames to memory that is no longer ours as
// soon as it may be bus master again, which DPDK allows before its driver resets the NIC. uio_pci_generic ends bus
// mastering when a process closes the device (so a late close would also end that of the next process), and nothing
// resets it. Hence: one process at a time, a reset before DPDK sees the device, and memory and claim are given up after
// the device is closed. vfio-pci does all that by itself.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace librettos {

// Where the kernel lists PCI devices; DPDK goes by the same variable (SYSFS_PCI_DEVICES).
std::filesystem::path pci_devices(std::filesystem::path const& root = "/");
// "no driver" when there is none.
std::string driver_of(std::string const& address, std::filesystem::path const& root = "/");
bool is_uio(std::string_view driver);
// Drivers that DPDK uses beside the kernel's, which maps memory for them.
bool is_bifurcated(std::string_view driver);
// An IOMMU translates what the device says: its addresses are not the machine's. Known for devices in a group.
bool is_translated(std::string const& address, std::filesystem::path const& root = "/");
// The kernel can reset it by itself, without others on its bus.
bool can_be_reset(std::string const& address, std::filesystem::path const& root = "/");

// Has the kernel reset each of the device's VFs. How many could not be.
unsigned reset_vfs(std::string const& address, std::filesystem::path const& root = "/");

// A device bound to uio, for the life of this process and its children.
class PciClaim {
  public:
    // Waits a moment for a predecessor that is being torn down, then resets the device. Throws std::system_error: EBUSY
    // when another process uses the device.
    explicit PciClaim(std::string const& address, std::filesystem::path const& root = "/");
    ~PciClaim();
    PciClaim(PciClaim const&) = delete;
    PciClaim& operator=(PciClaim const&) = delete;

    bool was_reset() const { return was_reset_; }
    // Once the device is open. When a process is killed its files are closed in the order of their numbers, or the
    // reverse: these (and the claim) have a number below the device's, and get one above it.
    void outlive_device(std::vector<int> const& fds);

  private:
    int fd_ = -1;
    bool was_reset_ = false;
    std::vector<int> above_;
};

}  // namespace librettos
