// SPDX-License-Identifier: BSD-2-Clause
// The order in which pages are laid out so that those beside each other in the machine are beside each other here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace librettos {

struct MachinePage {
    std::uint64_t machine_frame = 0;
    std::uint32_t page = 0;  // its number in the memory as it was allocated
    bool operator==(MachinePage const&) const = default;
};

// What has to be contiguous in the machine: descriptor rings. Buffers have a page each and do not.
struct ContiguousNeed {
    std::size_t pages = 0;  // in total
    std::size_t run = 0;    // at least so many beside each other, or they are of no use
};

struct PageLayout {
    std::vector<std::vector<MachinePage>> contiguous;  // regions, each one run of machine frames
    std::vector<MachinePage> rest;                     // ascending runs, the longest first
};

// The length of the longest run.
std::size_t longest_run(std::vector<MachinePage> pages);

// As few regions as possible, out of the longest runs. Nothing when these are too short for the need.
std::optional<PageLayout> lay_out(std::vector<MachinePage> pages, ContiguousNeed need);

// So many mappings of the allocated memory lay it out: pages that follow each other in both take one.
std::size_t mappings_of(PageLayout const& layout);

}  // namespace librettos
