// SPDX-License-Identifier: BSD-2-Clause
// A control API server on a real Unix socket that behaves as a test tells it to.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace librettos::test {

// Bytes to send back for a request; nothing: close without a word.
using Behaviour = std::function<std::optional<std::string>(nlohmann::json const& request)>;

inline std::string ok_reply(nlohmann::json const& result) {
    return nlohmann::json{{"schema", 1}, {"ok", true}, {"result", result}}.dump() + "\n";
}

inline std::string refusal(std::string const& code, std::string const& message, std::string const& hint) {
    nlohmann::json const error{{"code", code}, {"message", message}, {"hint", hint}};
    return nlohmann::json{{"schema", 1}, {"ok", false}, {"error", error}}.dump() + "\n";
}

class FakeServer {
  public:
    FakeServer(std::string path, Behaviour behaviour) : path_(std::move(path)), behaviour_(std::move(behaviour)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path_.size() >= sizeof(address.sun_path))
            throw std::runtime_error("socket path too long");
        std::copy(path_.begin(), path_.end(), address.sun_path);
        listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(listener_, reinterpret_cast<sockaddr const*>(&address), sizeof(address)) != 0 ||
            listen(listener_, 8) != 0)
            throw std::runtime_error("listen " + path_);
        thread_ = std::thread{[this] { serve(); }};
    }
    ~FakeServer() {
        shutdown(listener_, SHUT_RDWR);
        thread_.join();
        close(listener_);
    }
    FakeServer(FakeServer const&) = delete;
    FakeServer& operator=(FakeServer const&) = delete;

    std::string const& path() const { return path_; }
    std::vector<nlohmann::json> requests() const {
        std::lock_guard const lock{mutex_};
        return requests_;
    }

  private:
    void serve() {
        for (;;) {
            int const peer = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0)
                return;
            answer(peer);
            close(peer);
        }
    }

    void answer(int peer) {
        std::string line;
        for (std::array<char, 4096> chunk; line.find('\n') == std::string::npos;) {
            auto const bytes = recv(peer, chunk.data(), chunk.size(), 0);
            if (bytes <= 0)
                return;
            line.append(chunk.data(), static_cast<std::size_t>(bytes));
        }
        auto const request = nlohmann::json::parse(line);
        {
            std::lock_guard const lock{mutex_};
            requests_.push_back(request);
        }
        auto const reply = behaviour_(request);
        if (!reply)
            return;
        for (std::size_t sent = 0; sent < reply->size();) {
            auto const bytes = send(peer, reply->data() + sent, reply->size() - sent, MSG_NOSIGNAL);
            if (bytes <= 0)
                return;
            sent += static_cast<std::size_t>(bytes);
        }
        if (!reply->ends_with('\n')) {  // an unfinished line: keep the client waiting until it goes
            char byte;
            while (recv(peer, &byte, 1, 0) > 0) {
            }
        }
    }

    std::string path_;
    Behaviour behaviour_;
    int listener_ = -1;
    std::thread thread_;
    mutable std::mutex mutex_;
    std::vector<nlohmann::json> requests_;
};

}  // namespace librettos::test
