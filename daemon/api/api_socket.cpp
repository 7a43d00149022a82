// SPDX-License-Identifier: BSD-2-Clause
// Looks at the path and the group.
#include "daemon/api/api_socket.hpp"

#include <grp.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace librettos {
namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

gid_t group_id(std::string const& name) {
    std::array<char, 16384> room;
    group entry{};
    group* found = nullptr;
    int const error = getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
    if (found == nullptr) {
        fail(
            error != 0 ? error : ENOENT,
            "paths.api_group '" + name + "' is no group of this system (make it with: groupadd --system " + name + ")");
    }
    return found->gr_gid;
}

}  // namespace

std::optional<gid_t> check_api_socket(std::string const& path, std::string const& group) {
    struct stat there {};
    if (lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode)) {
        fail(EEXIST, "paths.api_socket '" + path + "' is no socket (remove it, or write another path)");
    }
    return group.empty() ? std::nullopt : std::optional(group_id(group));
}

}  // namespace librettos
