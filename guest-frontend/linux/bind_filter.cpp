// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/bind_filter.hpp"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

namespace {

// libseccomp returns negative errno values.
void require(int result, char const* tried) {
    if (result < 0) {
        throw_errno(-result, tried);
    }
}

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

Filter describe() {
    Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
    if (!filter) {
        throw_errno(ENOMEM, "start a seccomp filter");
    }
    // A call of an ABI that is not named below goes through: this filter is for claiming ports, not for security.
    require(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW), "set up a seccomp filter");
#if defined(__x86_64__)
    require(seccomp_arch_add(filter.get(), SCMP_ARCH_X86), "add i386 to a seccomp filter");
    require(seccomp_arch_add(filter.get(), SCMP_ARCH_X32), "add x32 to a seccomp filter");
#elif defined(__aarch64__)
    require(seccomp_arch_add(filter.get(), SCMP_ARCH_ARM), "add 32-bit ARM to a seccomp filter");
#endif
    require(seccomp_rule_add(filter.get(), SCMP_ACT_NOTIFY, SCMP_SYS(bind), 0),
            "trap bind(2) by seccomp user notification (needs Linux 5.19)");
    require(seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0),
            "refuse io_uring by seccomp");
    return filter;
}

}  // namespace

BindFilter::BindFilter() {
    Filter const filter = describe();
    Descriptor const memory = checked_descriptor(memfd_create("bind-filter", MFD_CLOEXEC), "create a memfd");
    require(seccomp_export_bpf(filter.get(), memory.get()), "compile the seccomp filter");
    struct stat status {};
    if (fstat(memory.get(), &status) < 0) {
        throw_errno(errno, "read the compiled seccomp filter");
    }
    program_.resize(static_cast<std::size_t>(status.st_size) / sizeof(sock_filter));
    auto const bytes = static_cast<ssize_t>(program_.size() * sizeof(sock_filter));
    if (pread(memory.get(), program_.data(), static_cast<std::size_t>(bytes), 0) != bytes) {
        throw_errno(EIO, "read the compiled seccomp filter");
    }
}

int BindFilter::install() const noexcept {
    sock_fprog const program{static_cast<unsigned short>(program_.size()), const_cast<sock_filter*>(program_.data())};
    // Without WAIT_KILLABLE_RECV (not in libseccomp 2.5) a signal restarts a bind() that we have carried out already,
    // and the program gets EINVAL for it: Go, for one, signals its threads all the time.
    unsigned const flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
        listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    }
    return listener < 0 ? -errno : static_cast<int>(listener);
}

}  // namespace librettos::guest
