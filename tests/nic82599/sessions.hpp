// SPDX-License-Identifier: BSD-2-Clause
// The device process' side of the bus: a session per connection, a domain per program (its forked children share it).
// When a domain's last session ends its functions are reset, as a kernel does when the last descriptor is closed.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "tests/nic82599/board.hpp"
#include "tests/nic82599/bus_protocol.hpp"

namespace nic82599 {

class Sessions {
  public:
    explicit Sessions(Board& board) : board_(board) {}

    // Listens; throws std::system_error. Sessions run in threads that live as long as the process.
    void serve(std::string const& socket_path);

  private:
    void accept_for_ever(int listener);
    void run(int socket);
    BusReply answer(BusRequest const& request, int descriptor, unsigned& domain);
    unsigned join(unsigned domain);
    void leave(unsigned domain);

    Board& board_;
    std::mutex mutex_;
    std::map<unsigned, unsigned> members_;  // sessions per domain
    unsigned last_domain_ = 0;
};

}  // namespace nic82599
