// SPDX-License-Identifier: BSD-2-Clause
// What a look at the machine before the start found.
#pragma once

#include <cstdint>
#include <string>

namespace librettos {

struct StartCheck {
    enum class Verdict : std::uint8_t { good, warning, bad };  // warning: it starts, but may not last

    std::string name;  // what was looked at
    Verdict verdict = Verdict::good;
    std::string found;  // how it is; of a bad one also why that will not do
    std::string mend;   // the command or the change that mends it; of a good one empty
};

}  // namespace librettos
