// SPDX-License-Identifier: BSD-2-Clause
// What a library inside somebody else's process has to say: a line on its standard error.
#pragma once

#include <cstdio>
#include <string>

namespace librettos::guest {

inline void say(std::string const& text) {
    std::fprintf(stderr, "lvif: %s\n", text.c_str());
}

}  // namespace librettos::guest
