// SPDX-License-Identifier: BSD-2-Clause
// hypervisord's socket in the file system.
#include "drivers/hypervisor/local/listening_socket.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error{error, std::generic_category(), what};
}

sockaddr_un address_of(std::string const& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path))
        throw std::invalid_argument{"--socket: a path of 1 to " + std::to_string(sizeof(address.sun_path) - 1) +
                                    " bytes is needed"};
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

UniqueFd new_socket() {
    UniqueFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd)
        fail(errno, "socket");
    return fd;
}

void remove_stale(std::string const& path, sockaddr_un const& address) {
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0)
        return;
    if (!S_ISSOCK(status.st_mode))
        fail(EEXIST, path + " is not a socket; remove it or choose another --socket");
    UniqueFd const probe = new_socket();
    if (::connect(probe.get(), reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0 || errno == EAGAIN)
        fail(EADDRINUSE, path + ": another librettos-hypervisord answers there; stop it or choose another --socket");
    if (errno != ECONNREFUSED)
        fail(errno, path + " is there and may be in use; remove it or choose another --socket");
    if (::unlink(path.c_str()) != 0)
        fail(errno, "removing the stale socket " + path);
}

gid_t group_id(std::string const& group) {
    ::group const* entry = ::getgrnam(group.c_str());
    if (entry == nullptr)
        throw std::invalid_argument{"--group: there is no group " + group + "; groupadd --system " + group};
    return entry->gr_gid;
}

UniqueFd lock(std::string const& path) {
    UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd)
        fail(errno, path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
        fail(errno == EWOULDBLOCK ? EADDRINUSE : errno,
             path + ": another librettos-hypervisord holds the lock; stop it or choose another --socket");
    return fd;
}

}  // namespace

ListeningSocket::ListeningSocket(std::string path, std::string const& group) : path_{std::move(path)} {
    sockaddr_un const address = address_of(path_);
    std::error_code ignored;  // the lock below says what is wrong
    std::filesystem::create_directories(std::filesystem::path{path_}.parent_path(), ignored);
    lock_ = lock(path_ + ".lock");
    remove_stale(path_, address);
    fd_ = new_socket();
    mode_t const mask = ::umask(0177);
    int const bound = ::bind(fd_.get(), reinterpret_cast<sockaddr const*>(&address), sizeof(address));
    int const error = errno;
    ::umask(mask);
    if (bound != 0)
        fail(error, "binding " + path_);
    if (!group.empty() &&
        (::chown(path_.c_str(), static_cast<uid_t>(-1), group_id(group)) != 0 || ::chmod(path_.c_str(), 0660) != 0))
        fail(errno, "giving " + path_ + " to the group " + group);
    if (::listen(fd_.get(), 128) != 0)
        fail(errno, "listening on " + path_);
}

ListeningSocket::~ListeningSocket() {
    ::unlink(
        path_.c_str());  // the lock's file stays: removing it would let two holders in, each with a file of its own
}

}  // namespace librettos
