// SPDX-License-Identifier: BSD-2-Clause
// The machine as a NIC gets at it: faults are counted, injected, and a NIC that was pulled out reaches nothing.
#pragma once

#include "tests/nic82599/machine.hpp"

namespace nic82599 {

class GuardedMachine final : public Machine {
  public:
    explicit GuardedMachine(Machine& machine) : machine_(machine) {}

    std::uint8_t* dma(Function function, std::uint64_t address, std::size_t size) override {
        std::uint8_t* memory = nullptr;
        if (failing_ > 0) {
            --failing_;
        } else if (!cut_off_) {
            memory = machine_.dma(function, address, size);
        }
        faults_ += memory == nullptr ? 1 : 0;
        return memory;
    }
    void interrupt(Function function, unsigned vector) override {
        if (!cut_off_) {
            machine_.interrupt(function, vector);
        }
    }
    void transmit(std::span<std::uint8_t const> frame) override {
        if (!cut_off_) {
            machine_.transmit(frame);
        }
    }
    std::uint64_t now_ns() override { return machine_.now_ns(); }
    void wake_at(std::uint64_t time_ns) override { machine_.wake_at(time_ns); }

    void fail_dma(unsigned accesses) { failing_ = accesses; }
    void cut_off(bool off) { cut_off_ = off; }
    bool is_cut_off() const { return cut_off_; }
    std::uint64_t faults() const { return faults_; }

  private:
    Machine& machine_;
    unsigned failing_ = 0;
    bool cut_off_ = false;
    std::uint64_t faults_ = 0;
};

}  // namespace nic82599
