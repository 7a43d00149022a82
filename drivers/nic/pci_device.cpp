// SPDX-License-Identifier: BSD-2-Clause
// Looks at sysfs; resets; locks the device's configuration space file.
#include "drivers/nic/pci_device.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <thread>

namespace librettos {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

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

bool is_bifurcated(std::string_view driver) {
    return driver == "mlx4_core" || driver == "mlx5_core" || driver == "mana";
}

bool is_translated(std::string const& address, fs::path const& root) {
    std::string type;
    std::ifstream(pci_devices(root) / address / "iommu_group/type") >> type;
    return !type.empty() && type != "identity";
}

bool can_be_reset(std::string const& address, fs::path const& root) {
    std::error_code error;
    return fs::exists(pci_devices(root) / address / "reset", error);
}

unsigned reset_vfs(std::string const& address, fs::path const& root) {
    unsigned failures = 0;
    std::error_code none;
    for (auto const& entry : fs::directory_iterator(pci_devices(root) / address, none)) {
        if (entry.path().filename().string().starts_with("virtfn")) {
            std::ofstream reset(entry.path() / "reset");
            reset << "1" << std::flush;
            failures += reset.good() ? 0 : 1;
        }
    }
    return failures;
}

PciClaim::PciClaim(std::string const& address, fs::path const& root) {
    auto const device = pci_devices(root) / address;
    fd_ = open((device / "config").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) {
        fail(errno, "opening " + (device / "config").string());
    }
    auto const patience = std::chrono::steady_clock::now() + 5s;
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        int const error = errno;
        if (error != EWOULDBLOCK || std::chrono::steady_clock::now() > patience) {
            close(fd_);
            fail(error == EWOULDBLOCK ? EBUSY : error, "another process uses PCI device " + address);
        }
        std::this_thread::sleep_for(10ms);
    }
    if (can_be_reset(address, root)) {
        std::ofstream reset(device / "reset");
        reset << "1" << std::flush;
        was_reset_ = reset.good();
    }
}

PciClaim::~PciClaim() {
    for (int const fd : above_) {
        close(fd);
    }
    close(fd_);
}

void PciClaim::outlive_device(std::vector<int> const& fds) {
    constexpr rlim_t most = 4096;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    int const least = static_cast<int>(std::min(limit.rlim_cur, most) / 2);
    above_.push_back(fcntl(fd_, F_DUPFD_CLOEXEC, least));
    for (int const fd : fds) {
        above_.push_back(fcntl(fd, F_DUPFD_CLOEXEC, least));
    }
    if (std::count(above_.begin(), above_.end(), -1) != 0) {
        fail(errno, "keeping files of the NIC open");
    }
}

}  // namespace librettos
