// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/network_namespace.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

namespace {

constexpr char const* directory = "/run/netns";

// As ip-netns(8) does it: the directory is a shared mount, so that names come and go in all mount namespaces alike. The
// lock is against others who do the same at this moment.
void share_directory() {
    if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
        throw_errno(errno, std::string("make ") + directory + " (librettos-guest needs root)");
    }
    Descriptor const lock =
        checked_descriptor(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), std::string("open ") + directory);
    flock(lock.get(), LOCK_EX);
    if (mount("", directory, "none", MS_SHARED | MS_REC, nullptr) == 0) {
        return;
    }
    if (errno != EINVAL || mount(directory, directory, "none", MS_BIND | MS_REC, nullptr) < 0 ||
        mount("", directory, "none", MS_SHARED | MS_REC, nullptr) < 0) {
        throw_errno(errno, std::string("make ") + directory + " a shared mount (librettos-guest needs root)");
    }
}

void remove_name(std::string const& path) {
    umount2(path.c_str(), MNT_DETACH);
    unlink(path.c_str());
}

}  // namespace

NetworkNamespace::NetworkNamespace(std::string const& name, Existing existing)
    : path_(std::string(directory) + "/" + name) {
    share_directory();
    if (existing == Existing::replace) {
        remove_name(path_);
    }
    Descriptor const name_file(open(path_.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    if (name_file) {
        make();
        return;
    }
    if (errno != EEXIST) {
        throw_errno(errno, "make " + path_);
    }
    Descriptor const there = checked_descriptor(open(path_.c_str(), O_RDONLY | O_CLOEXEC), "open " + path_);
    if (setns(there.get(), CLONE_NEWNET) < 0) {
        throw_errno(errno, "enter network namespace " + path_ + " (if it is a stale file, remove it)");
    }
}

void NetworkNamespace::make() {
    if (unshare(CLONE_NEWNET) < 0) {
        int const error = errno;
        unlink(path_.c_str());
        throw_errno(error, "make a network namespace (librettos-guest needs root)");
    }
    if (mount("/proc/thread-self/ns/net", path_.c_str(), "none", MS_BIND, nullptr) < 0) {
        int const error = errno;
        unlink(path_.c_str());
        throw_errno(error, "give the network namespace its name " + path_);
    }
    made_ = true;
}

NetworkNamespace::~NetworkNamespace() {
    if (made_) {
        remove_name(path_);
    }
}

}  // namespace librettos::guest
