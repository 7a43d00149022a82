// SPDX-License-Identifier: BSD-2-Clause
// A benchmark program's conversation with run.py: it sets up once, says "ready" with what it is, and then measures each
// time it is told to, so that ours and the peers can be measured in turn within seconds of each other.
//
//   -> {"ready": true, ...}
//   <- measure 300            milliseconds
//   -> {"seconds": 0.300, "frames": ..., ...}
//   <- end of input: the program ends with status 0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

namespace librettos::bench {

// One side of the path, run over and over by one thread that has a core for itself.
struct Side {
    std::function<void()> turn;  // one burst round; called in batches, so that the indirection costs nothing
};

// Cumulative figures, read while the sides run.
using Counts = std::function<nlohmann::json()>;

// EAL's lcores 1 and 2, on cores 0 and 1; main floats. `server` on core 0, `guest` on core 1. Answers commands until
// the end of input. `counts` returns an object of numbers; the answer has their differences over the measured time.
void converse(nlohmann::json const& description, Side const& server, Side const& guest, Counts const& counts);

// rte_eal_init with the two lcores and `arguments` (separated by blanks). Throws std::runtime_error.
void start_eal(std::string const& program, std::string const& arguments);

}  // namespace librettos::bench
