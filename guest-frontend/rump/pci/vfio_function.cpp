// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/pci/vfio_function.hpp"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace librettos::guest {

namespace {

constexpr unsigned first_bar = 0x10, bar_end = 0x28;
constexpr std::uint32_t bar_kind_bits = 0xF;
constexpr std::uint32_t bus_addresses = 0x80000000, bus_address_step = 0x01000000;
constexpr std::uint32_t most_vectors = 16;

// Where DPDK looks for functions, by the same variable.
std::filesystem::path devices_folder() {
    char const* const other = std::getenv("SYSFS_PCI_DEVICES");
    return other != nullptr ? other : "/sys/bus/pci/devices";
}

// The number that names the group's file.
std::string group_of(std::string const& address) {
    std::filesystem::path const device = devices_folder() / address;
    std::error_code error;
    if (!std::filesystem::exists(device, error)) {
        throw_errno(ENODEV, "there is no PCI function " + address);
    }
    auto const link = std::filesystem::read_symlink(device / "iommu_group", error);
    if (error) {
        throw_errno(ENODEV, address + " is in no IOMMU group: switch the IOMMU on (intel_iommu=on)");
    }
    return link.filename();
}

void require(int result, std::string const& tried) {
    if (result < 0) {
        throw_errno(errno, tried);
    }
}

}  // namespace

VfioFunction::VfioFunction(std::string pci_address) : address_(std::move(pci_address)) {
    open_group();
    open_device();
    find_memory();
    find_vectors();
}

VfioFunction::~VfioFunction() {
    for (Memory const& memory : memory_) {
        if (memory.place != nullptr) {
            munmap(memory.place, memory.size);
        }
    }
}

void VfioFunction::open_group() {
    std::string const group = group_of(address_);
    container_ =
        checked_descriptor(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), "open /dev/vfio/vfio (modprobe vfio-pci)");
    if (ioctl(container_.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
        ioctl(container_.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) != 1) {
        throw_errno(ENOTSUP, "the kernel's VFIO has no IOMMU of type 1 (modprobe vfio_iommu_type1)");
    }
    std::string const file = "/dev/vfio/" + group;
    group_ = checked_descriptor(open(file.c_str(), O_RDWR | O_CLOEXEC),
                                "open " + file + " for " + address_ + " (is it bound to vfio-pci, and nobody else's?)");
    vfio_group_status status{};
    status.argsz = sizeof status;
    require(ioctl(group_.get(), VFIO_GROUP_GET_STATUS, &status), "ask for the state of " + file);
    if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
        throw_errno(EBUSY, "other functions of " + address_ + "'s IOMMU group have drivers: bind them to vfio-pci too");
    }
    int const container = container_.get();
    require(ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container), "take " + file + " (is it somebody else's?)");
    require(ioctl(container_.get(), VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), "use the IOMMU for " + address_);
}

void VfioFunction::open_device() {
    device_ = checked_descriptor(ioctl(group_.get(), VFIO_GROUP_GET_DEVICE_FD, address_.c_str()),
                                 "open " + address_ + " (is it bound to vfio-pci?)");
    vfio_region_info config{};
    config.argsz = sizeof config;
    config.index = VFIO_PCI_CONFIG_REGION_INDEX;
    require(ioctl(device_.get(), VFIO_DEVICE_GET_REGION_INFO, &config), "find the configuration space of " + address_);
    config_offset_ = config.offset;
    config_bytes_ = config.size;
}

// What can be mapped. Where the MSI-X table is alone in its memory, nobody needs that.
void VfioFunction::find_memory() {
    for (unsigned bar = 0; bar < bars; ++bar) {
        vfio_region_info region{};
        region.argsz = sizeof region;
        region.index = VFIO_PCI_BAR0_REGION_INDEX + bar;
        bool const is_mappable = ioctl(device_.get(), VFIO_DEVICE_GET_REGION_INFO, &region) == 0 &&
                                 (region.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0;
        if (!is_mappable || region.size == 0 || region.size > bus_address_step) {
            continue;
        }
        std::uint32_t kind = 0;
        require(static_cast<int>(
                    pread(device_.get(), &kind, sizeof kind, static_cast<off_t>(config_offset_ + first_bar + 4 * bar))),
                "read the configuration space of " + address_);
        memory_[bar] = {region.offset,
                        static_cast<std::uint32_t>(region.size),
                        kind & bar_kind_bits,
                        bus_addresses + bar * bus_address_step,
                        0,
                        nullptr};
    }
}

void VfioFunction::find_vectors() {
    vfio_irq_info irq{};
    irq.argsz = sizeof irq;
    irq.index = VFIO_PCI_MSIX_IRQ_INDEX;
    require(ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &irq), "ask for the interrupts of " + address_);
    for (unsigned vector = 0; vector < std::min(irq.count, most_vectors); ++vector) {
        events_.push_back(checked_descriptor(eventfd(0, EFD_CLOEXEC), "make an event for an interrupt"));
    }
}

// `settable`: the bits that a driver can change. Null: no such register, which reads as 0.
std::uint32_t* VfioFunction::bar_register(unsigned offset, std::uint32_t& settable) {
    unsigned const bar = (offset - first_bar) / 4;
    if (Memory& memory = memory_[bar]; memory.size != 0) {
        settable = ~(memory.size - 1);
        return &memory.low;
    }
    if (bar > 0 && memory_[bar - 1].size != 0 && memory_[bar - 1].is_64_bit()) {
        settable = ~std::uint32_t{0};
        return &memory_[bar - 1].high;
    }
    return nullptr;
}

std::uint32_t VfioFunction::read_config(unsigned offset) const {
    std::uint32_t value = ~std::uint32_t{0};
    if (offset >= first_bar && offset < bar_end) {
        unsigned const bar = (offset - first_bar) / 4;
        if (Memory const& memory = memory_[bar]; memory.size != 0) {
            return memory.low | memory.kind;
        }
        return bar > 0 && memory_[bar - 1].size != 0 && memory_[bar - 1].is_64_bit() ? memory_[bar - 1].high : 0;
    }
    if (offset % sizeof value == 0 && offset + sizeof value <= config_bytes_ &&
        pread(device_.get(), &value, sizeof value, static_cast<off_t>(config_offset_ + offset)) != sizeof value) {
        value = ~std::uint32_t{0};
    }
    return value;
}

void VfioFunction::write_config(unsigned offset, std::uint32_t value) {
    if (offset >= first_bar && offset < bar_end) {
        std::uint32_t settable = 0;
        if (std::uint32_t* const bar = bar_register(offset, settable)) {
            *bar = value & settable;
        }
        return;
    }
    if (offset % sizeof value == 0 && offset + sizeof value <= config_bytes_ &&
        pwrite(device_.get(), &value, sizeof value, static_cast<off_t>(config_offset_ + offset)) != sizeof value) {
        throw_errno(errno, "write to the configuration space of " + address_);
    }
}

void* VfioFunction::map(std::uint64_t bus_address, std::size_t bytes) {
    for (Memory& memory : memory_) {
        std::uint64_t const base = std::uint64_t{memory.high} << 32 | memory.low;
        if (memory.size == 0 || bus_address < base || bus_address - base > memory.size ||
            bytes > memory.size - (bus_address - base)) {
            continue;
        }
        if (memory.place == nullptr) {
            void* const place = mmap(nullptr, memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, device_.get(),
                                     static_cast<off_t>(memory.offset));
            memory.place = place == MAP_FAILED ? nullptr : place;
        }
        return memory.place == nullptr ? nullptr : static_cast<std::byte*>(memory.place) + (bus_address - base);
    }
    return nullptr;
}

void VfioFunction::map_for_dma(void* memory, std::uint64_t bus_address, std::size_t bytes) {
    vfio_iommu_type1_dma_map map{};
    map.argsz = sizeof map;
    map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    map.vaddr = reinterpret_cast<std::uintptr_t>(memory);
    map.iova = bus_address;
    map.size = bytes;
    require(ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map),
            "let " + address_ + " reach " + std::to_string(bytes) + " bytes of memory (ulimit -l?)");
}

// All at once: older kernels cannot add a vector to those that are on.
int VfioFunction::interrupt(unsigned vector) {
    if (!std::exchange(interrupts_are_on_, true)) {
        std::vector<std::int32_t> fds;
        for (Descriptor const& event : events_) {
            fds.push_back(event.get());
        }
        std::vector<std::byte> request(sizeof(vfio_irq_set) + fds.size() * sizeof fds[0]);
        vfio_irq_set const head{static_cast<std::uint32_t>(request.size()),
                                VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0,
                                static_cast<std::uint32_t>(fds.size())};
        std::memcpy(request.data(), &head, sizeof head);
        std::memcpy(request.data() + sizeof head, fds.data(), fds.size() * sizeof fds[0]);
        require(ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, request.data()), "have interrupts from " + address_);
    }
    return events_.at(vector).get();
}

}  // namespace librettos::guest
