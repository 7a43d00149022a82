// SPDX-License-Identifier: BSD-2-Clause
// How an action fails that throws std::system_error.
#pragma once

#include <system_error>

namespace librettos::test {

// Its errno; 0 when it does not fail.
template <typename Action>
int errno_of(Action action) {
    try {
        action();
    } catch (std::system_error const& error) {
        return error.code().value();
    }
    return 0;
}

}  // namespace librettos::test
