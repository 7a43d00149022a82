// SPDX-License-Identifier: BSD-2-Clause
// The text that `librettosctl completion bash` prints.
#pragma once

#include <string_view>

namespace librettos::ctl {

std::string_view bash_completion();

}  // namespace librettos::ctl
