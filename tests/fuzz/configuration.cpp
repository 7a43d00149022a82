// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as a configuration file: accepted, or refused with a message that names a place in it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "daemon/config/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        librettos::parse_config({reinterpret_cast<char const*>(data), size}, "f");
    } catch (librettos::ConfigError const& error) {
        if (!std::string_view(error.what()).starts_with("f:")) {
            std::abort();
        }
    }
    return 0;
}
