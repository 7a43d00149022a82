// SPDX-License-Identifier: BSD-2-Clause
// The seccomp filter that stops a program in bind(2) until librettos-guest has answered.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace librettos::guest {

// Traps bind(2) of every ABI that the kernel runs here (on x86-64 also i386, with its socketcall(2), and
// x32), refuses io_uring_setup(2) with ENOSYS, because a ring can bind without a system call to trap, and lets
// everything else through. The program is compiled in the constructor, so that install() may run between fork and exec.
class BindFilter {
  public:
    // Throws std::system_error when libseccomp or the kernel lacks user notification.
    BindFilter();

    // For the calling thread and all that it will start. Returns the listener (close-on-exec) or a negative errno;
    // -EINVAL: the kernel is older than Linux 5.19; -EBUSY: the caller already runs under such a filter.
    // A caller without CAP_SYS_ADMIN gets no_new_privs, without which the kernel takes no filter from it.
    int install() const noexcept;

  private:
    std::vector<sock_filter> program_;
};

}  // namespace librettos::guest
