// SPDX-License-Identifier: BSD-2-Clause
// A reading of the statistics file in Prometheus' text format 0.0.4, for node_exporter's textfile collector and others
// (prometheus.io, "Exposition formats"). Counters of the wire's side that belong to no guest are those of the guest
// "wire".
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "daemon/api/stats_reader.hpp"

namespace librettos::ctl {

// `names`: of the counters. `slots`: those of the reading that are to be shown. Zeros are, too: a series begins with
// one.
void print_prometheus(std::ostream& out, std::vector<std::string> const& names, StatsReading const& reading,
                      std::vector<SlotReading> const& slots);

}  // namespace librettos::ctl
