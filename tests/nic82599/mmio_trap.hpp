// SPDX-License-Identifier: BSD-2-Clause
// Accesses to a BAR become calls of a Bus: the BAR's pages admit nothing, and the handler of the SIGSEGV carries out
// the access that faulted. Faults elsewhere go to the handler that was there before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/nic82599/bus.hpp"

namespace nic82599 {

// For the process; once.
void install_mmio_trap();
// The pages [base, base + bytes) are the function's BAR from `offset` on.
void add_bar(void* base, std::size_t bytes, Bus& bus, Function function, reg::Offset offset);
void remove_bar(void* base);
// Accesses carried out so far.
std::uint64_t trapped_accesses();

}  // namespace nic82599
