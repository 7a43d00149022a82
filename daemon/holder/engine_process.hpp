// SPDX-License-Identifier: BSD-2-Clause
// One engine: a forked child that opens an engine's object, its pidfd and the socket to it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>

#include "daemon/engine/boot.hpp"
#include "daemon/engine/holder_messages.hpp"
#include "daemon/holder/engine_image.hpp"

namespace librettos {

class EngineProcess {
  public:
    // Forks; the child opens `image`, runs its librettos_engine_run with `boot` and keeps, besides stdio, only the
    // descriptors of `keep` and its end of the socket. It dies with this process. Throws std::system_error.
    EngineProcess(EngineBoot const& boot, EngineImage const& image, std::set<int> const& keep,
                  std::string const& log_level);
    ~EngineProcess();  // kills and reaps one that still lives
    EngineProcess(EngineProcess const&) = delete;
    EngineProcess& operator=(EngineProcess const&) = delete;

    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_; }  // readable when it is dead
    int socket() const { return socket_; }
    std::chrono::milliseconds age() const;

    // False: the engine does not take it (dead, or 200 messages behind).
    bool send(HolderMessage const& message) const;
    enum class Received { message, none, ended, malformed };
    // One message, if there is one. The type is checked: only what an engine may send.
    Received receive(HolderMessage& message) const;
    void kill() const;
    // After pidfd() was readable: reaps, and says how it ended, for people.
    std::string reap();
    // After reap(): it ended by a fault of its own.
    bool crashed() const { return crashed_; }
    bool ended_in_order() const { return ended_in_order_; }
    bool exited() const { return exited_; }  // by itself, not by a signal

  private:
    pid_t pid_ = -1;
    bool crashed_ = false;
    bool ended_in_order_ = false;
    bool exited_ = false;
    int pidfd_ = -1;
    int socket_ = -1;
    std::chrono::steady_clock::time_point started_;
};

}  // namespace librettos
