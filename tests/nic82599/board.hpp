// SPDX-License-Identifier: BSD-2-Clause
// A NIC with what surrounds it in one process: I/O mappings, eventfds for its interrupts, real time, a wire.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>

#include "tests/nic82599/iommu.hpp"
#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/nic.hpp"
#include "tests/nic82599/ticker.hpp"

namespace nic82599 {

class Board final : private Machine {
  public:
    // A frame leaves through the port. It must not call the NIC back.
    using ToWire = std::function<void(std::span<std::uint8_t const>)>;

    Board(Eeprom::Mac const& mac, unsigned vfs, ToWire to_wire);
    ~Board() override;

    Nic& nic() { return *nic_; }

    // Function and domain for DMA; a function without one reaches nothing.
    void attach(Function function, unsigned domain);
    int map(unsigned domain, std::uint64_t address, Iommu::Memory memory, std::size_t size);
    std::size_t unmap(unsigned domain, std::uint64_t address, std::size_t size);
    // Its functions are reset, its mappings and interrupts end: its last user is gone.
    void end_domain(unsigned domain);
    // Takes the descriptor over; -1: none.
    void set_interrupt(Function function, unsigned vector, int eventfd);

  private:
    std::uint8_t* dma(Function function, std::uint64_t address, std::size_t size) override;
    void interrupt(Function function, unsigned vector) override;
    void transmit(std::span<std::uint8_t const> frame) override;
    std::uint64_t now_ns() override { return Ticker::now_ns(); }
    void wake_at(std::uint64_t time_ns) override { ticker_->wake_at(time_ns); }

    ToWire to_wire_;
    std::mutex mutex_;  // taken inside the NIC's lock, never around a call to it
    Iommu iommu_;
    std::map<Function, unsigned> domains_;
    std::map<Function, std::array<int, Nic::pf_vectors>> eventfds_;
    std::optional<Nic> nic_;
    std::optional<Ticker> ticker_;
};

}  // namespace nic82599
