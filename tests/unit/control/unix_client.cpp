// SPDX-License-Identifier: BSD-2-Clause
// A client of the control socket.
#include "tests/unit/control/unix_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace librettos::test {

UnixClient::UnixClient(std::string const& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        int const error = errno;
        close(fd_);
        throw std::system_error(error, std::generic_category(), "connect " + path);
    }
}

UnixClient::~UnixClient() {
    close(fd_);
}

std::size_t UnixClient::send(std::string_view bytes) {
    auto const sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

std::string UnixClient::receive() {
    std::string all;
    std::array<char, 65536> room;
    while (true) {
        auto const size = recv(fd_, room.data(), room.size(), 0);
        if (size > 0) {
            all.append(room.data(), static_cast<std::size_t>(size));
            continue;
        }
        ended_ = ended_ || size == 0 || errno != EAGAIN;
        return all;
    }
}

std::string UnixClient::line(int ms) {
    while (true) {
        auto const end = pending_.find('\n');
        if (end != std::string::npos) {
            auto const text = pending_.substr(0, end);
            pending_.erase(0, end + 1);
            return text;
        }
        pollfd wait{fd_, POLLIN, 0};
        if (ended_ || poll(&wait, 1, ms) <= 0)
            return {};
        pending_ += receive();
    }
}

}  // namespace librettos::test
