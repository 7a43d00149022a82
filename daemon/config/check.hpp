// SPDX-License-Identifier: BSD-2-Clause
// Rules of a configuration that go beyond one value's type and range.
#pragma once

#include "daemon/config/config.hpp"
#include "daemon/config/source_map.hpp"

namespace librettos {

// Throws ConfigError naming the place in the file.
void check_config(Config const& config, SourceMap const& source);

}  // namespace librettos
