// SPDX-License-Identifier: BSD-2-Clause
// What the control socket needs of the system: asked by the holder, which refuses to start or to reload without, and by
// each engine.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace librettos {

// The group that may use the socket besides root; none where `group` is empty. Throws std::system_error, with what to
// do, when there is no such group or `path` is taken by something that is no socket.
std::optional<gid_t> check_api_socket(std::string const& path, std::string const& group);

}  // namespace librettos
