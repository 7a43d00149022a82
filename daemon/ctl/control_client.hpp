// SPDX-License-Identifier: BSD-2-Clause
// One connection to the server's control socket (daemon/api/api.md): a request, its reply, within a time limit.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

namespace librettos::ctl {

// The server gives no usable answer. what() says what was tried and why it failed; hint() how to look further.
class Unreachable : public std::runtime_error {
  public:
    Unreachable(std::string const& what, std::string hint) : std::runtime_error(what), hint_(std::move(hint)) {}
    std::string const& hint() const { return hint_; }

  private:
    std::string hint_;
};

struct Reply {
    std::string line;  // as it came, without the newline
    bool ok = false;
    nlohmann::json result;  // with ok
    std::string code;       // without ok
    std::string message;
    std::string hint;
};

class ControlClient {
  public:
    using Clock = std::chrono::steady_clock;

    // Throws Unreachable.
    ControlClient(std::string path, std::chrono::milliseconds timeout);
    ~ControlClient();
    ControlClient(ControlClient const&) = delete;
    ControlClient& operator=(ControlClient const&) = delete;

    // Adds "schema". A request that the server refuses is a Reply too; Unreachable when no proper reply comes in time.
    Reply request(nlohmann::json request);

  private:
    void connect_socket(Clock::time_point deadline);
    void send_all(std::string_view text, Clock::time_point deadline);
    std::string receive_line(Clock::time_point deadline);
    void wait(short events, Clock::time_point deadline) const;
    [[noreturn]] void fail_connect(int error) const;
    [[noreturn]] void fail_hung() const;

    std::string path_;
    std::chrono::milliseconds timeout_;
    int fd_ = -1;
    std::string received_;
};

// Checks the envelope. Throws std::runtime_error that says what is wrong with it.
Reply parse_reply(std::string line);

}  // namespace librettos::ctl
