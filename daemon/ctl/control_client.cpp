// SPDX-License-Identifier: BSD-2-Clause
// Connecting, sending and receiving with a deadline; what each failure means to an operator.
#include "daemon/ctl/control_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace librettos::ctl {

namespace {

constexpr int schema = 1;
constexpr std::size_t longest_reply_bytes = std::size_t{16} * 1024 * 1024;
constexpr char look_at_service[] = "systemctl status librettos-netserver; journalctl -u librettos-netserver";

}  // namespace

Reply parse_reply(std::string line) {
    auto const document = nlohmann::json::parse(line, nullptr, false);
    if (!document.is_object())
        throw std::runtime_error("the reply is not a JSON object");
    auto const version = document.find("schema");
    if (version == document.end() || !version->is_number_integer())
        throw std::runtime_error("the reply has no \"schema\"");
    if (*version != schema)
        throw std::runtime_error("the server speaks schema " + version->dump() + ", this program schema 1");
    auto const ok = document.find("ok");
    if (ok == document.end() || !ok->is_boolean())
        throw std::runtime_error("the reply has no \"ok\"");
    Reply reply;
    reply.ok = ok->get<bool>();
    if (reply.ok) {
        auto const result = document.find("result");
        if (result == document.end())
            throw std::runtime_error("the reply has no \"result\"");
        reply.result = *result;
    } else {
        auto const error = document.find("error");
        if (error == document.end() || !error->is_object() || !error->contains("message"))
            throw std::runtime_error("the reply refuses the request without a message");
        reply.code = error->value("code", "failed");
        reply.message = error->value("message", "");
        reply.hint = error->value("hint", "");
    }
    reply.line = std::move(line);
    return reply;
}

ControlClient::ControlClient(std::string path, std::chrono::milliseconds timeout)
    : path_(std::move(path)), timeout_(timeout) {
    try {
        connect_socket(Clock::now() + timeout_);
    } catch (...) {
        if (fd_ >= 0)
            close(fd_);
        throw;
    }
}

ControlClient::~ControlClient() {
    close(fd_);
}

void ControlClient::fail_connect(int error) const {
    std::string hint = look_at_service;
    if (error == EACCES || error == EPERM)
        hint =
            "root may use it, and members of the group that paths.api_group of the configuration names: "
            "sudo usermod -aG GROUP \"$USER\", then log in again";
    else if (error == ENOENT)
        hint = "the server is not running, or has another paths.api_socket (--socket PATH): " + hint;
    else if (error == ECONNREFUSED)
        hint = "the socket is there but nobody listens: an engine is being started, or the server has died: " + hint;
    throw Unreachable("cannot reach the server at " + path_ + ": " + std::strerror(error), hint);
}

void ControlClient::fail_hung() const {
    throw Unreachable(
        "the server at " + path_ + " did not answer within " +
            std::to_string(static_cast<double>(timeout_.count()) / 1000.0).substr(0, 4) + " s",
        std::string{"`librettosctl stats` needs no answer and shows whether frames still flow; "} + look_at_service);
}

void ControlClient::connect_socket(Clock::time_point deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof(address.sun_path))
        fail_connect(path_.empty() ? ENOENT : ENAMETOOLONG);
    std::copy(path_.begin(), path_.end(), address.sun_path);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0)
        fail_connect(errno);
    while (connect(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)  // the listener's queue is full: it does not accept
            fail_connect(errno);
        if (Clock::now() >= deadline)
            fail_hung();
        poll(nullptr, 0, 20);
    }
}

void ControlClient::wait(short events, Clock::time_point deadline) const {
    for (;;) {
        auto const left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0)
            fail_hung();
        pollfd entry{fd_, events, 0};
        int const ready = poll(&entry, 1, static_cast<int>(std::min<long long>(left, 60'000)));
        if (ready > 0)
            return;
        if (ready < 0 && errno != EINTR)
            throw Unreachable("poll " + path_ + ": " + std::strerror(errno), look_at_service);
    }
}

void ControlClient::send_all(std::string_view text, Clock::time_point deadline) {
    while (!text.empty()) {
        auto const sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent >= 0)
            text.remove_prefix(static_cast<std::size_t>(sent));
        else if (errno == EAGAIN)
            wait(POLLOUT, deadline);
        else if (errno == EPIPE || errno == ECONNRESET)
            return;  // a reply that says why may be there to read
        else if (errno != EINTR)
            throw Unreachable("send to " + path_ + ": " + std::strerror(errno), look_at_service);
    }
}

std::string ControlClient::receive_line(Clock::time_point deadline) {
    std::array<char, 65536> chunk;
    for (;;) {
        auto const newline = received_.find('\n');
        if (newline != std::string::npos) {
            auto line = received_.substr(0, newline);
            received_.erase(0, newline + 1);
            return line;
        }
        if (received_.size() > longest_reply_bytes)
            throw Unreachable("the server at " + path_ + " sends a reply without end",
                              "is this the control socket of librettos-netserver?");
        auto const count = recv(fd_, chunk.data(), chunk.size(), 0);
        if (count > 0)
            received_.append(chunk.data(), static_cast<std::size_t>(count));
        else if (count == 0 || errno == ECONNRESET)
            throw Unreachable("the server at " + path_ + " closed the connection without an answer",
                              std::string{"it was just restarted, or you are neither root nor in paths.api_group: "} +
                                  look_at_service);
        else if (errno == EAGAIN)
            wait(POLLIN, deadline);
        else if (errno != EINTR)
            throw Unreachable("receive from " + path_ + ": " + std::strerror(errno), look_at_service);
    }
}

Reply ControlClient::request(nlohmann::json request) {
    request["schema"] = schema;
    auto const deadline = Clock::now() + timeout_;
    send_all(request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", deadline);
    auto line = receive_line(deadline);
    try {
        return parse_reply(std::move(line));
    } catch (std::exception const& error) {
        throw Unreachable(
            "the server at " + path_ + " gave no proper answer: " + error.what(),
            "librettosctl and librettos-netserver should come from the same release: librettosctl --version, "
            "librettos-netserver --version");
    }
}

}  // namespace librettos::ctl
