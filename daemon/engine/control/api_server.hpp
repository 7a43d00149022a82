// SPDX-License-Identifier: BSD-2-Clause
// The control API's transport (daemon/api/api.md): a Unix stream socket, one JSON object per line each way.
//
// Nobody can make it wait or grow: clients, a request, and what a client has not read yet are bounded; a client's next
// request is looked at when its last reply has left. All descriptors sit behind one epoll descriptor for the caller's
// loop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/engine/control/log_limit.hpp"

namespace librettos::control {

// Answers one request line with one reply, without the newlines.
class RequestAnswerer {
  public:
    virtual ~RequestAnswerer() = default;
    virtual std::string answer(std::string_view request) = 0;
};

class ApiServer {
  public:
    static constexpr std::size_t max_request_bytes = 4096;
    static constexpr std::size_t max_clients = 16;  // one more, and the one that has been idle the longest goes
    static constexpr std::size_t max_reply_bytes = 16 * 1024 * 1024;
    static constexpr auto slow_reader_limit = std::chrono::seconds(10);

    // Replaces a stale socket file, atomically: there is never one with the wrong mode. `group` empty: for root alone.
    // Throws std::system_error.
    ApiServer(std::string path, std::string const& group, RequestAnswerer& commands);
    ~ApiServer();
    ApiServer(ApiServer const&) = delete;
    ApiServer& operator=(ApiServer const&) = delete;

    int fd() const { return epoll_; }
    void handle(TimePoint now);       // when fd() is readable
    void handle_time(TimePoint now);  // at next_wake(): closes slow readers
    TimePoint next_wake() const;
    std::size_t clients() const { return clients_.size(); }

  private:
    struct Client {
        std::string in;
        std::string out;
        std::size_t sent = 0;
        TimePoint active{};
        TimePoint blocked_since = TimePoint::max();
        bool last = false;   // close when the reply is out
        bool ended = false;  // it sends no more
    };
    void listen_at(std::string const& group);
    void accept_all(TimePoint now);
    bool may_ask(int client) const;
    void serve(int fd, Client& client, TimePoint now);
    bool read_more(int fd, Client& client);
    bool answer_lines(int fd, Client& client, TimePoint now);
    bool write_out(int fd, Client& client, TimePoint now);
    void drop(int fd);
    void drop_most_idle();

    std::string path_;
    RequestAnswerer& commands_;
    int listener_ = -1;
    int epoll_ = -1;
    ino_t inode_ = 0;
    std::optional<gid_t> group_;
    std::map<int, Client> clients_;
};

}  // namespace librettos::control
