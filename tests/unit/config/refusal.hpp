// SPDX-License-Identifier: BSD-2-Clause
// What parse_config says about a text, for tests.
#pragma once

#include <string>
#include <string_view>

#include "daemon/config/config.hpp"

namespace librettos {

// The least that is a configuration: five lines, so that an addition begins on line 6.
inline std::string with_minimum(std::string_view more) {
    return "[port]\ndevice = \"net_null0\"\n[network]\nipv4 = \"192.0.2.10/24\"\nipv6 = \"2001:db8::10/64\"\n" +
           std::string(more);
}

// The error's text, or "accepted".
inline std::string refusal(std::string_view text) {
    try {
        parse_config(text, "f");
    } catch (ConfigError const& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace librettos
