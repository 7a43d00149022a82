// SPDX-License-Identifier: BSD-2-Clause
// Which changes of the configuration a new engine can take, and which need a new holder.
#pragma once

#include <optional>
#include <string>

#include "daemon/config/config.hpp"

namespace librettos {

// Reads the file again. Nothing (and a log line) when it is wrong, or no engine could make its control socket. In
// `config` what is fixed while the holder lives (port, number of data threads, size and place of the statistics file)
// is kept as in `running`, with a log line that says what to do when the file says otherwise.
std::optional<LoadedConfig> reloaded_config(std::string const& path, Config const& running);

}  // namespace librettos
