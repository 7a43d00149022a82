// SPDX-License-Identifier: BSD-2-Clause
// Positions of configuration values, and the error that names them.
#include "daemon/config/source_map.hpp"

#include "daemon/config/config.hpp"

namespace librettos {

void SourceMap::note(std::string key, std::uint32_t line, std::uint32_t column) {
    places_.insert_or_assign(std::move(key), Place{line, column});
}

void SourceMap::fail(std::string const& key, std::string const& text) const {
    std::string at = key;
    for (;;) {
        if (auto const place = places_.find(at); place != places_.end()) {
            fail_at(place->second.line, place->second.column, key + ": " + text);
        }
        auto const cut = at.find_last_of(".[");
        if (cut == std::string::npos) {
            break;
        }
        at.resize(cut);
    }
    fail_at(1, 1, key + ": " + text);
}

void SourceMap::fail_at(std::uint32_t line, std::uint32_t column, std::string const& text) const {
    throw ConfigError(file_ + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + text);
}

}  // namespace librettos
