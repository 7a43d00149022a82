// SPDX-License-Identifier: BSD-2-Clause
// One message with at most one descriptor. By system calls alone: this runs under a process' own definitions of libc's.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nic82599 {

template <typename Message>
bool send_message(int socket, Message const& message, int descriptor = -1) {
    iovec piece{const_cast<Message*>(&message), sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* const part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof descriptor);
        std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
    }
    return syscall(SYS_sendmsg, socket, &header, MSG_NOSIGNAL) == static_cast<long>(sizeof message);
}

// False: the other side is gone, or said something else. `descriptor` -1: none came.
template <typename Message>
bool receive_message(int socket, Message& message, int& descriptor) {
    iovec piece{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    long bytes = 0;
    do {
        bytes = syscall(SYS_recvmsg, socket, &header, MSG_CMSG_CLOEXEC);
    } while (bytes < 0 && errno == EINTR);
    descriptor = -1;
    if (bytes > 0) {
        if (cmsghdr const* const part = CMSG_FIRSTHDR(&header); part != nullptr && part->cmsg_type == SCM_RIGHTS) {
            std::memcpy(&descriptor, CMSG_DATA(part), sizeof descriptor);
        }
    }
    return bytes == static_cast<long>(sizeof message);
}

}  // namespace nic82599
