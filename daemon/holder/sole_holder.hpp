// SPDX-License-Identifier: BSD-2-Clause
// One holder at a time: a second one would take the statistics file, the control socket and the NIC port's frames from
// the first.
#pragma once

#include <string>

#include "daemon/config/config.hpp"

namespace librettos {

class SoleHolder {
  public:
    // By locks on "<path>.lock" beside the statistics file and the control socket, which stay there when the process
    // ends; the last directories of both paths are made if they are missing. Throws std::system_error: EBUSY with the
    // process that has one of them.
    explicit SoleHolder(Config::Paths const& paths);

  private:
    class Lock {
      public:
        explicit Lock(std::string const& beside);
        ~Lock();
        Lock(Lock const&) = delete;
        Lock& operator=(Lock const&) = delete;

      private:
        int fd_;
    };

    Lock stats_;
    Lock api_socket_;
};

}  // namespace librettos
