// SPDX-License-Identifier: BSD-2-Clause
// A client of the control socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace librettos::test {

class UnixClient {
  public:
    explicit UnixClient(std::string const& path);
    ~UnixClient();
    UnixClient(UnixClient const&) = delete;
    UnixClient& operator=(UnixClient const&) = delete;

    // As much as the socket takes without waiting.
    std::size_t send(std::string_view bytes);
    // What is there, without waiting.
    std::string receive();
    bool ended() const { return ended_; }
    // Waits up to `ms` for one line.
    std::string line(int ms = 10000);
    int fd() const { return fd_; }

  private:
    int fd_;
    bool ended_ = false;
    std::string pending_;
};

}  // namespace librettos::test
