// SPDX-License-Identifier: BSD-2-Clause
// What is wrong with a server, worst first, and what to do about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "daemon/api/stats_reader.hpp"

namespace librettos::ctl {

struct Finding {
    bool unhealthy = false;  // frames do not flow as they should: exit status 4
    std::string what;
    std::string action;  // may be empty
};

// Two readings of the statistics file, a moment apart.
struct StatsPair {
    StatsReading before;
    StatsReading after;
    std::vector<std::string> counter_names;

    double seconds() const { return static_cast<double>(after.taken_ns - before.taken_ns) / 1e9; }
};

// A build id as people are shown it: its first 8 digits.
std::string short_build(std::string const& build);

// `status`: result of the command of that name. Without statistics only what the server said is judged.
std::vector<Finding> diagnose(nlohmann::json const& status, std::optional<StatsPair> const& stats);

// A data thread that is awake but makes no turns between the readings.
bool thread_stands_still(StatsPair const& stats, std::size_t thread);

bool link_is_up(nlohmann::json const& status);
bool process_exists(std::uint64_t pid);

}  // namespace librettos::ctl
