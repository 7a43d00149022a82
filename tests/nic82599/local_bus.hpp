// SPDX-License-Identifier: BSD-2-Clause
// A board in the driver's own process.
#pragma once

#include <fcntl.h>

#include "tests/nic82599/board.hpp"
#include "tests/nic82599/bus.hpp"

namespace nic82599 {

class LocalBus final : public Bus {
  public:
    explicit LocalBus(Board& board) : board_(board) {}

    std::uint32_t read(Function function, reg::Offset offset) override { return board_.nic().read(function, offset); }
    void write(Function function, reg::Offset offset, std::uint32_t value) override {
        board_.nic().write(function, offset, value);
    }
    void reset(Function function) override { board_.nic().function_level_reset(function); }
    void attach(Function function) override { board_.attach(function, the_domain); }
    void set_interrupt(Function function, unsigned vector, int eventfd) override {
        board_.set_interrupt(function, vector, eventfd < 0 ? -1 : fcntl(eventfd, F_DUPFD_CLOEXEC, 0));
    }
    int map(std::uint64_t io_address, void* memory, std::size_t size) override {
        Iommu::Memory shared(static_cast<std::uint8_t*>(memory), [](std::uint8_t*) {});
        return board_.map(the_domain, io_address, std::move(shared), size);
    }
    std::size_t unmap(std::uint64_t io_address, std::size_t size) override {
        return board_.unmap(the_domain, io_address, size);
    }

  private:
    static constexpr unsigned the_domain = 0;
    Board& board_;
};

}  // namespace nic82599
