// SPDX-License-Identifier: BSD-2-Clause
// The proof of machine addresses, and keeping an eye on them.
#include "drivers/nic/dma_memory.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace librettos {
namespace {

constexpr std::uint64_t unknown = ~std::uint64_t{0};
constexpr char no_way[] =
    "nothing mends that from here: give the NIC to an HVM or PVH driver domain, or use the kernel's driver (device = "
    "\"NAME\")";

std::uint64_t random_number() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
        throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    return number;
}

// What page i holds during the proof. Distinct for all pages of one proof.
std::uint64_t mark(std::uint64_t secret, std::size_t page) {
    return secret + page;
}

std::uint64_t write_marks(std::span<std::byte> memory) {
    std::uint64_t const secret = random_number();
    for (std::size_t page = 0; page < memory.size() / page_bytes; ++page) {
        std::uint64_t const value = mark(secret, page);
        std::memcpy(memory.data() + page * page_bytes, &value, sizeof value);
    }
    return secret;
}

// Of the candidates those whose machine frame holds the page's mark.
std::vector<std::uint64_t> holders(std::span<std::byte> memory, std::span<std::uint64_t const> frames,
                                   MachineAddresses& machine) {
    auto const candidates = machine.candidates(frames);
    std::vector<std::uint64_t> asked;
    for (auto const& candidate : candidates) {
        asked.push_back(candidate.machine_frame);
    }
    std::uint64_t const secret = write_marks(memory);
    auto const words = machine.first_words(asked);
    std::vector<std::uint64_t> found(frames.size(), unknown);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        auto const page = candidates[i].index;
        if (words.at(i) == mark(secret, page)) {
            if (found.at(page) != unknown && found[page] != asked[i]) {
                throw DmaRefused("a page seems to be in two places of the machine", no_way);
            }
            found[page] = asked[i];
        }
    }
    return found;
}

void require_all_found(std::vector<std::uint64_t> const& found) {
    auto const lost = std::count(found.begin(), found.end(), unknown);
    if (lost != 0) {
        throw DmaRefused(std::to_string(lost) + " of " + std::to_string(found.size()) +
                             " pages are not where Xen's machine-to-physical table says",
                         no_way);
    }
}

void require_marks(std::span<std::byte> memory, std::vector<std::uint64_t> const& found, MachineAddresses& machine) {
    std::uint64_t const secret = write_marks(memory);
    auto const words = machine.first_words(found);
    for (std::size_t page = 0; page < found.size(); ++page) {
        if (words.at(page) != mark(secret, page)) {
            throw DmaRefused("page " + std::to_string(page) + " is not at its machine address any more", no_way);
        }
    }
}

std::string moved(std::byte const* address, char const* what, std::uint64_t from, std::uint64_t to) {
    return "the page at " + std::to_string(reinterpret_cast<std::uintptr_t>(address)) + " has another " + what + ": " +
           std::to_string(to) + ", it was " + std::to_string(from);
}

}  // namespace

std::vector<std::uint64_t> prove_machine_frames(std::span<std::byte> memory, std::span<std::uint64_t const> frames,
                                                MachineAddresses& machine) {
    auto found = holders(memory, frames, machine);
    require_all_found(found);
    require_marks(memory, found, machine);
    auto const table = machine.frames_at(found);
    if (!std::equal(table.begin(), table.end(), frames.begin(), frames.end())) {
        throw DmaRefused("Xen's machine-to-physical table changes while it is read", no_way);
    }
    for (std::size_t page = 0; page < frames.size(); ++page) {
        std::memset(memory.data() + page * page_bytes, 0, sizeof(std::uint64_t));
    }
    return found;
}

DmaMemory::DmaMemory(LockedMemory memory, ContiguousNeed need, std::unique_ptr<MachineAddresses> machine)
    : memory_(std::move(memory)), machine_(std::move(machine)) {
    auto const bytes = memory_.bytes();
    auto const frames = frames_of(bytes.data(), bytes.size() / page_bytes);
    auto const machine_frames = prove_machine_frames(bytes, frames, *machine_);
    std::vector<MachinePage> pages;
    for (std::size_t page = 0; page < frames.size(); ++page) {
        pages.push_back({machine_frames[page], static_cast<std::uint32_t>(page)});
    }
    auto const layout = lay_out(pages, need);
    if (!layout) {
        throw DmaRefused(
            "descriptor rings need " + std::to_string(need.pages) + " pages in runs of " + std::to_string(need.run) +
                " that are beside each other in the machine, and the longest run here has " +
                std::to_string(longest_run(std::move(pages))),
            "write a larger port.memory_mib, or boot Xen with dom0_mem=SIZE,max:SIZE and start the server early");
    }
    auto const addresses = memory_.lay_out(*layout);
    auto const add = [&](std::vector<MachinePage> const& part, std::byte* address, bool contiguous) {
        DmaRegion region{address, {}, {}, contiguous};
        for (auto const& page : part) {
            region.frames.push_back(frames[page.page]);
            region.machine_frames.push_back(page.machine_frame);
        }
        regions_.push_back(std::move(region));
    };
    for (std::size_t i = 0; i < layout->contiguous.size(); ++i) {
        add(layout->contiguous[i], addresses[i], true);
    }
    if (!layout->rest.empty()) {
        add(layout->rest, addresses.back(), false);
    }
    if (auto const fault = fault_anywhere(); !fault.empty()) {
        throw DmaRefused(fault, no_way);
    }
}

std::string DmaMemory::fault_in(DmaRegion const& region, std::size_t first, std::size_t pages) const {
    auto const expected = std::span(region.frames).subspan(first, pages);
    auto const machine_frames = std::span(region.machine_frames).subspan(first, pages);
    auto const mapped = frames_of(region.address + first * page_bytes, pages);
    auto const table = machine_->frames_at(machine_frames);
    for (std::size_t i = 0; i < pages; ++i) {
        auto const* const address = region.address + (first + i) * page_bytes;
        if (mapped[i] != expected[i]) {
            return moved(address, "frame", expected[i], mapped[i]);
        }
        if (table.at(i) != expected[i]) {
            return moved(address, "entry in Xen's machine-to-physical table", expected[i], table[i]);
        }
    }
    return {};
}

std::string DmaMemory::fault_anywhere() const {
    for (auto const& region : regions_) {
        if (auto fault = fault_in(region, 0, region.frames.size()); !fault.empty()) {
            return fault;
        }
    }
    return {};
}

std::string DmaMemory::fault_in_next(std::size_t pages) {
    DmaRegion const& region = regions_.at(next_region_);
    std::size_t const first = next_page_;
    std::size_t const count = std::min(pages, region.frames.size() - first);
    next_page_ += count;
    if (next_page_ == region.frames.size()) {
        next_page_ = 0;
        next_region_ = (next_region_ + 1) % regions_.size();
    }
    return fault_in(region, first, count);
}

}  // namespace librettos
