// SPDX-License-Identifier: BSD-2-Clause
// A PCI function that the kernel has given to this process (vfio-pci): its configuration space, memory, interrupts, and
// what of this process' memory it may reach.
//
// The base address registers are this object's own: the function's memory stands at bus addresses that mean something
// to map() alone, and a driver that asks for sizes by writing ones gets them. The rest of the configuration space is
// the kernel's, which knows what a virtual function lacks there.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

class VfioFunction {
  public:
    // As of "0000:01:10.0". Throws std::system_error, which says what to do.
    explicit VfioFunction(std::string pci_address);
    ~VfioFunction();
    VfioFunction(VfioFunction const&) = delete;
    VfioFunction& operator=(VfioFunction const&) = delete;

    std::string const& address() const { return address_; }

    // Words at multiples of 4; beyond the end ones are read, and nothing is written.
    std::uint32_t read_config(unsigned offset) const;
    void write_config(unsigned offset, std::uint32_t value);
    // Memory of the function that a base address register names, for as long as this object lives. Null: no such.
    void* map(std::uint64_t bus_address, std::size_t bytes);

    // Throws std::system_error.
    void map_for_dma(void* memory, std::uint64_t bus_address, std::size_t bytes);

    // The MSI-X vectors that there are.
    unsigned vectors() const { return static_cast<unsigned>(events_.size()); }
    // An eventfd that blocks. From the first call on all vectors are on. Throws std::system_error.
    int interrupt(unsigned vector);

  private:
    struct Memory {
        std::uint64_t offset = 0;  // in the device's file
        std::uint32_t size = 0;    // a power of two; 0: none that could be mapped
        std::uint32_t kind = 0;    // the register's lowest bits
        std::uint32_t low = 0, high = 0;
        void* place = nullptr;

        bool is_64_bit() const { return (kind & 6) == 4; }
    };
    static constexpr unsigned bars = 6;

    void open_device();
    void open_group();
    void find_memory();
    void find_vectors();
    std::uint32_t* bar_register(unsigned offset, std::uint32_t& settable);

    std::string const address_;
    Descriptor container_, group_, device_;
    std::uint64_t config_offset_ = 0, config_bytes_ = 0;
    std::array<Memory, bars> memory_{};
    std::vector<Descriptor> events_;
    bool interrupts_are_on_ = false;
};

}  // namespace librettos::guest
