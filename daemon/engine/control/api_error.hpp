// SPDX-License-Identifier: BSD-2-Clause
// A request that is answered with an error: code, message and hint of daemon/api/api.md.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace librettos::control {

struct ApiError : std::runtime_error {
    ApiError(std::string error_code, std::string const& message, std::string error_hint)
        : std::runtime_error(message), code(std::move(error_code)), hint(std::move(error_hint)) {}
    std::string code;
    std::string hint;
};

}  // namespace librettos::control
