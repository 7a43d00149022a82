// SPDX-License-Identifier: BSD-2-Clause
// The VFIO requests.
#include "tests/nic82599/fake_vfio.hpp"

#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "tests/nic82599/mmio_trap.hpp"
#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/pci_addresses.hpp"

namespace nic82599 {
namespace {

constexpr unsigned region_shift = 40;  // DPDK takes it for granted
constexpr unsigned msix_bar = 3;
constexpr std::uint64_t msix_table_bytes = 0x4000, configuration_bytes = 4096;

std::atomic<FakeVfio*> served{nullptr};

int fail(int error) {
    errno = error;
    return -1;
}

int new_descriptor(char const* name) {
    return memfd_create(name, MFD_CLOEXEC);
}

unsigned vectors_of(Function function) {
    return function.is_pf() ? Nic::pf_vectors : Nic::vf_vectors;
}

// 9.3: identification, one 64-bit BAR, MSI-X and PCIe capabilities.
std::array<std::uint8_t, configuration_bytes> configuration_space(Function function) {
    std::array<std::uint8_t, configuration_bytes> bytes{};
    auto const put16 = [&bytes](std::size_t at, unsigned value) {
        bytes[at] = static_cast<std::uint8_t>(value);
        bytes[at + 1] = static_cast<std::uint8_t>(value >> 8);
    };
    put16(0x00, 0x8086);
    put16(0x02, function.is_pf() ? 0x10FB : 0x10ED);
    put16(0x06, 0x0010);  // has capabilities
    bytes[0x08] = 1;
    put16(0x0A, 0x0200);  // Ethernet
    bytes[0x10] = 4;      // 64-bit memory
    put16(0x2C, 0x8086);
    put16(0x2E, 0x0003);
    bytes[0x34] = 0x70;
    bytes[0x70] = 0x11;  // MSI-X
    bytes[0x71] = 0xA0;
    put16(0x72, vectors_of(function) - 1);
    bytes[0x74] = msix_bar;
    put16(0x78, 0x2000 | msix_bar);
    bytes[0xA0] = 0x10;  // PCIe
    put16(0xA2, 2);
    return bytes;
}

// 9.3: the bits of a byte there that a program can change.
unsigned writable_bits(Function function, std::size_t at) {
    constexpr std::size_t command = 0x04, cache_line = 0x0C, bar0 = 0x10, bar1 = 0x14, interrupt_line = 0x3C;
    constexpr std::size_t msix_control = 0x72, device_control = 0xA8;
    std::uint32_t const bar0_bits = ~((function.is_pf() ? Nic::pf_bar_bytes : Nic::vf_bar_bytes) - 1u);
    if (at / 4 == bar0 / 4) {
        return bar0_bits >> (at - bar0) * 8 & 0xFF;
    }
    switch (at) {
        case command:
            return 0x47;  // memory, bus master, parity
        case command + 1:
            return 0x05;  // SERR, no INTx
        case msix_control + 1:
            return 0xC0;  // enable, mask
        case cache_line:
        case bar1:
        case bar1 + 1:
        case bar1 + 2:
        case bar1 + 3:
        case interrupt_line:
        case device_control:
        case device_control + 1:
            return 0xFF;
        default:
            return 0;
    }
}

}  // namespace

void FakeVfio::serve(FakeVfio* vfio) {
    served = vfio;
}

FakeVfio* FakeVfio::serving() {
    return served.load(std::memory_order_relaxed);
}

bool FakeVfio::is_module(std::string_view path) {
    return path == "/sys/module/vfio" || path == "/sys/module/vfio_pci";
}

FakeVfio::Descriptor FakeVfio::find(int fd) const {
    auto const at = static_cast<std::size_t>(fd);
    return at < descriptors_.size() ? descriptors_[at].load(std::memory_order_acquire) : Descriptor{};
}

int FakeVfio::remember(int fd, Kind kind, Function function) {
    if (static_cast<std::size_t>(fd) >= descriptors_.size()) {
        return fail(EMFILE);
    }
    auto const number = static_cast<std::int8_t>(function.number());
    descriptors_[static_cast<std::size_t>(fd)].store({kind, number}, std::memory_order_release);
    return fd;
}

std::optional<int> FakeVfio::open(std::string_view path) {
    constexpr std::string_view folder = "/dev/vfio/";
    if (!path.starts_with(folder)) {
        return std::nullopt;
    }
    path.remove_prefix(folder.size());
    if (path == "vfio") {
        return remember(new_descriptor("vfio-container"), Kind::container, Function::pf());
    }
    unsigned group = 0;
    auto const end = std::from_chars(path.data(), path.data() + path.size(), group).ptr;
    auto const function = function_of_group(group, vfs_);
    if (end != path.data() + path.size() || !function) {
        return std::nullopt;
    }
    return remember(new_descriptor("vfio-group"), Kind::group, *function);
}

void FakeVfio::close(int fd) {
    if (find(fd).kind != Kind::none) {
        descriptors_[static_cast<std::size_t>(fd)].store({}, std::memory_order_release);
    }
}

std::optional<int> FakeVfio::ioctl(int fd, unsigned long request, void* argument) {
    Descriptor const descriptor = find(fd);
    switch (descriptor.kind) {
        case Kind::container:
            return container_ioctl(request, argument);
        case Kind::group:
            return group_ioctl(function_of(descriptor), request, argument);
        case Kind::device:
            return device_ioctl(function_of(descriptor), request, argument);
        default:
            return std::nullopt;
    }
}

std::optional<ssize_t> FakeVfio::pwrite(int fd, void const* bytes, std::size_t size, std::uint64_t offset) {
    Descriptor const descriptor = find(fd);
    std::uint64_t const first = offset - (std::uint64_t{VFIO_PCI_CONFIG_REGION_INDEX} << region_shift);
    if (descriptor.kind != Kind::device || first >= configuration_bytes) {
        return std::nullopt;
    }
    auto const* const from = static_cast<std::uint8_t const*>(bytes);
    for (std::size_t i = 0; i < std::min<std::size_t>(size, configuration_bytes - first); ++i) {
        unsigned const mask = writable_bits(function_of(descriptor), first + i);
        std::uint8_t byte = 0;
        if (pread(fd, &byte, 1, static_cast<off_t>(offset + i)) != 1) {
            return fail(EIO);
        }
        byte = static_cast<std::uint8_t>((byte & ~mask) | (from[i] & mask));
        if (syscall(SYS_pwrite64, fd, &byte, 1, static_cast<off_t>(offset + i)) != 1) {
            return -1;
        }
    }
    return static_cast<ssize_t>(size);
}

std::optional<void*> FakeVfio::mmap(void* address, std::size_t size, int flags, int fd, std::uint64_t offset) {
    Descriptor const descriptor = find(fd);
    if (descriptor.kind != Kind::device || offset >> region_shift != VFIO_PCI_BAR0_REGION_INDEX) {
        return std::nullopt;
    }
    long const place =
        syscall(SYS_mmap, address, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE | (flags & MAP_FIXED), fd, offset);
    if (place == -1) {
        return MAP_FAILED;
    }
    auto* const base = reinterpret_cast<void*>(place);
    add_bar(base, size, bus_, function_of(descriptor), static_cast<reg::Offset>(offset));
    return base;
}

int FakeVfio::container_ioctl(unsigned long request, void* argument) {
    auto const number = reinterpret_cast<std::uintptr_t>(argument);
    switch (request) {
        case VFIO_GET_API_VERSION:
            return VFIO_API_VERSION;
        case VFIO_CHECK_EXTENSION:
            return number == VFIO_TYPE1_IOMMU ? 1 : 0;
        case VFIO_SET_IOMMU:
            return number == VFIO_TYPE1_IOMMU ? 0 : fail(EINVAL);
        case VFIO_IOMMU_MAP_DMA: {
            auto const* const map = static_cast<vfio_iommu_type1_dma_map const*>(argument);
            int const error = bus_.map(map->iova, reinterpret_cast<void*>(map->vaddr), map->size);
            return error == 0 ? 0 : fail(error);
        }
        case VFIO_IOMMU_UNMAP_DMA: {
            auto* const unmap = static_cast<vfio_iommu_type1_dma_unmap*>(argument);
            unmap->size = bus_.unmap(unmap->iova, unmap->size);
            return 0;
        }
        default:
            return fail(ENOTTY);
    }
}

int FakeVfio::group_ioctl(Function function, unsigned long request, void* argument) {
    auto& in_container = in_container_[static_cast<std::size_t>(function.number() + 1)];
    switch (request) {
        case VFIO_GROUP_GET_STATUS:
            static_cast<vfio_group_status*>(argument)->flags =
                VFIO_GROUP_FLAGS_VIABLE | (in_container ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
            return 0;
        case VFIO_GROUP_SET_CONTAINER:
        case VFIO_GROUP_UNSET_CONTAINER:
            in_container = request == VFIO_GROUP_SET_CONTAINER;
            return 0;
        case VFIO_GROUP_GET_DEVICE_FD:
            return open_device(function);
        default:
            return fail(ENOTTY);
    }
}

int FakeVfio::open_device(Function function) {
    int const fd = new_descriptor("[vfio-device]");  // as /proc/PID/maps shows the kernel's
    auto const configuration = configuration_space(function);
    auto const at = static_cast<off_t>(std::uint64_t{VFIO_PCI_CONFIG_REGION_INDEX} << region_shift);
    if (fd < 0 || ::pwrite(fd, configuration.data(), configuration.size(), at) < 0) {
        return -1;
    }
    bus_.attach(function);
    return remember(fd, Kind::device, function);
}

int FakeVfio::region_info(Function function, void* argument) const {
    auto* const region = static_cast<vfio_region_info*>(argument);
    constexpr std::uint32_t read_write = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    region->offset = std::uint64_t{region->index} << region_shift;
    region->cap_offset = 0;
    region->flags = 0;
    region->size = 0;
    if (region->index == VFIO_PCI_BAR0_REGION_INDEX) {
        region->size = function.is_pf() ? Nic::pf_bar_bytes : Nic::vf_bar_bytes;
        region->flags = read_write | VFIO_REGION_INFO_FLAG_MMAP;
    } else if (region->index == msix_bar) {
        region->size = msix_table_bytes;
        region->flags = read_write;
    } else if (region->index == VFIO_PCI_CONFIG_REGION_INDEX) {
        region->size = configuration_bytes;
        region->flags = read_write;
    }
    return 0;
}

int FakeVfio::set_irqs(Function function, void* argument) {
    auto const* const set = static_cast<vfio_irq_set const*>(argument);
    if (set->index != VFIO_PCI_MSIX_IRQ_INDEX) {
        return 0;
    }
    if (set->start > vectors_of(function) || set->count > vectors_of(function) - set->start) {
        return fail(EINVAL);
    }
    if (set->count == 0) {
        for (unsigned vector = 0; vector < vectors_of(function); ++vector) {
            bus_.set_interrupt(function, vector, -1);
        }
    } else if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0) {
        for (unsigned i = 0; i < set->count; ++i) {
            int fd = -1;
            std::memcpy(&fd, set->data + i * sizeof fd, sizeof fd);
            bus_.set_interrupt(function, set->start + i, fd);
        }
    }
    return 0;
}

int FakeVfio::device_ioctl(Function function, unsigned long request, void* argument) {
    switch (request) {
        case VFIO_DEVICE_GET_INFO: {
            auto* const info = static_cast<vfio_device_info*>(argument);
            info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
            info->num_regions = VFIO_PCI_NUM_REGIONS;
            info->num_irqs = VFIO_PCI_NUM_IRQS;
            return 0;
        }
        case VFIO_DEVICE_GET_REGION_INFO:
            return region_info(function, argument);
        case VFIO_DEVICE_GET_IRQ_INFO: {
            auto* const irq = static_cast<vfio_irq_info*>(argument);
            irq->flags = VFIO_IRQ_INFO_EVENTFD;
            irq->count = irq->index == VFIO_PCI_MSIX_IRQ_INDEX ? vectors_of(function) : 1;
            return 0;
        }
        case VFIO_DEVICE_SET_IRQS:
            return set_irqs(function, argument);
        case VFIO_DEVICE_RESET:
            bus_.reset(function);
            return 0;
        default:
            return fail(ENOTTY);
    }
}

}  // namespace nic82599
