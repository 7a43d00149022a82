// SPDX-License-Identifier: BSD-2-Clause
// The SIGSEGV handler. It is synchronous: the thread that is in it was in the driver's code, not in an allocator's or
// under a lock of ours, so that it may call what the NIC calls.
#include "tests/nic82599/mmio_trap.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <mutex>

#include "tests/nic82599/mmio_instruction.hpp"

namespace nic82599 {
namespace {

struct Bar {
    std::atomic<std::uintptr_t> base{0};  // 0: free. Written last, read first.
    std::size_t bytes = 0;
    Bus* bus = nullptr;
    Function function = Function::pf();
    reg::Offset offset = 0;
};

std::array<Bar, 256> bars;
std::mutex bars_mutex;  // for those who change them
std::atomic<std::uint64_t> accesses{0};
struct sigaction former {};

Bar const* bar_at(std::uintptr_t address) {
    for (Bar const& bar : bars) {
        std::uintptr_t const base = bar.base.load(std::memory_order_acquire);
        if (base != 0 && address - base < bar.bytes) {
            return &bar;
        }
    }
    return nullptr;
}

void say_not_understood(std::uint8_t const* code) {
    char line[128];
    int const length = std::snprintf(line, sizeof line,
                                     "nic82599: no known register access: %02x %02x %02x %02x %02x %02x %02x %02x\n",
                                     code[0], code[1], code[2], code[3], code[4], code[5], code[6], code[7]);
    static_cast<void>(!::write(STDERR_FILENO, line, static_cast<std::size_t>(length)));
}

bool carry_out(Bar const& bar, std::uintptr_t address, mcontext_t& context) {
    auto const* const code = reinterpret_cast<std::uint8_t const*>(context.gregs[REG_RIP]);
    auto const instruction = decode_mmio(code);
    auto const offset = bar.offset + static_cast<reg::Offset>(address - bar.base.load(std::memory_order_relaxed));
    if (!instruction || offset % 4 != 0) {
        say_not_understood(code);
        return false;
    }
    accesses.fetch_add(1, std::memory_order_relaxed);
    if (instruction->store) {
        bar.bus->write(bar.function, offset, instruction->value(context));
    } else {
        instruction->load(context, bar.bus->read(bar.function, offset));
    }
    context.gregs[REG_RIP] += static_cast<greg_t>(instruction->bytes);
    return true;
}

void on_fault(int, siginfo_t* info, void* saved) {
    int const error = errno;
    auto const address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    Bar const* const bar = bar_at(address);
    bool const done = bar != nullptr && carry_out(*bar, address, static_cast<ucontext_t*>(saved)->uc_mcontext);
    errno = error;
    if (!done) {
        sigaction(SIGSEGV, &former, nullptr);  // faults again, for whoever was there before
    }
}

}  // namespace

void install_mmio_trap() {
    static bool const installed = [] {
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        return sigaction(SIGSEGV, &action, &former) == 0;
    }();
    static_cast<void>(installed);
}

void add_bar(void* base, std::size_t bytes, Bus& bus, Function function, reg::Offset offset) {
    std::lock_guard const lock(bars_mutex);
    for (Bar& bar : bars) {
        if (bar.base.load(std::memory_order_relaxed) == 0) {
            bar.bytes = bytes;
            bar.bus = &bus;
            bar.function = function;
            bar.offset = offset;
            bar.base.store(reinterpret_cast<std::uintptr_t>(base), std::memory_order_release);
            return;
        }
    }
}

void remove_bar(void* base) {
    std::lock_guard const lock(bars_mutex);
    for (Bar& bar : bars) {
        if (bar.base.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(base)) {
            bar.base.store(0, std::memory_order_release);
        }
    }
}

std::uint64_t trapped_accesses() {
    return accesses.load(std::memory_order_relaxed);
}

}  // namespace nic82599
