// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/holder/sole_holder.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error(error, std::generic_category(), what);
}

void make_directory_of(std::string const& path) {
    std::string const directory = path.substr(0, path.find_last_of('/'));
    if (!directory.empty() && mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
        fail(errno, "cannot make the directory of " + path + " (make it with: mkdir -p " + directory + ")");
    }
}

flock whole_file() {
    flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

// Empty: it has just ended, or is not seen from here.
std::string holder_of(int fd) {
    flock lock = whole_file();
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0
               ? " (process " + std::to_string(lock.l_pid) + ")"
               : "";
}

// A record lock is the process' own: an engine that outlives its holder for a moment does not have it.
UniqueFd locked_file_beside(std::string const& neighbour) {
    make_directory_of(neighbour);
    std::string const path = neighbour + ".lock";
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
        fail(errno, "cannot open " + path + " (check [paths] in the configuration, and run the server as root)");
    }
    flock lock = whole_file();
    if (fcntl(file.get(), F_SETLK, &lock) != 0) {
        int const error = errno;
        if (error == EACCES || error == EAGAIN) {
            fail(EBUSY, "another librettos-netserver" + holder_of(file.get()) + " has " + path +
                            " (stop it, or write another paths.stats, paths.api_socket and port.device for this one)");
        }
        fail(error, "cannot lock " + path);
    }
    return file;
}

}  // namespace

SoleHolder::SoleHolder(Config::Paths const& paths)
    : stats_(locked_file_beside(paths.stats)), api_socket_(locked_file_beside(paths.api_socket)) {
}

}  // namespace librettos
