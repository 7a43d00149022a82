// SPDX-License-Identifier: BSD-2-Clause
// What a counter of the statistics file counts, in words.
#pragma once

#include <string_view>

#include "daemon/api/counters.hpp"

namespace librettos::ctl {

inline std::string_view meaning_of(std::string_view name) {
    for (auto const& text : counter_texts)
        if (text.name == name)
            return text.meaning;
    return "unknown to this librettosctl";  // the server is newer
}

}  // namespace librettos::ctl
