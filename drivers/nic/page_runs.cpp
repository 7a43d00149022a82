// SPDX-License-Identifier: BSD-2-Clause
// Sorting of pages into machine-contiguous runs.
#include "drivers/nic/page_runs.hpp"

#include <algorithm>
#include <span>

namespace librettos {
namespace {

using Run = std::span<MachinePage const>;

std::vector<Run> runs_of(std::vector<MachinePage>& pages) {
    std::sort(pages.begin(), pages.end(),
              [](auto const& a, auto const& b) { return a.machine_frame < b.machine_frame; });
    std::vector<Run> runs;
    for (std::size_t first = 0, i = 1; i <= pages.size(); ++i) {
        if (i == pages.size() || pages[i].machine_frame != pages[i - 1].machine_frame + 1) {
            runs.push_back(Run(pages).subspan(first, i - first));
            first = i;
        }
    }
    std::stable_sort(runs.begin(), runs.end(), [](Run a, Run b) { return a.size() > b.size(); });
    return runs;
}

std::size_t mappings_of(std::vector<MachinePage> const& pages) {
    std::size_t mappings = 0;
    for (std::size_t i = 0; i < pages.size(); ++i) {
        mappings += i == 0 || pages[i].page != pages[i - 1].page + 1 ? 1 : 0;
    }
    return mappings;
}

}  // namespace

std::size_t longest_run(std::vector<MachinePage> pages) {
    auto const runs = runs_of(pages);
    return runs.empty() ? 0 : runs.front().size();
}

std::optional<PageLayout> lay_out(std::vector<MachinePage> pages, ContiguousNeed need) {
    PageLayout layout;
    std::size_t missing = need.pages;
    for (Run run : runs_of(pages)) {
        if (missing > 0) {
            std::size_t const taken = std::min(run.size(), std::max(missing, need.run));
            if (taken < need.run) {
                return std::nullopt;
            }
            layout.contiguous.emplace_back(run.begin(), run.begin() + static_cast<std::ptrdiff_t>(taken));
            missing -= std::min(missing, taken);
            run = run.subspan(taken);
        }
        layout.rest.insert(layout.rest.end(), run.begin(), run.end());
    }
    if (missing > 0) {
        return std::nullopt;
    }
    return layout;
}

std::size_t mappings_of(PageLayout const& layout) {
    std::size_t mappings = mappings_of(layout.rest);
    for (auto const& region : layout.contiguous) {
        mappings += mappings_of(region);
    }
    return mappings;
}

}  // namespace librettos
