// SPDX-License-Identifier: BSD-2-Clause
// One holder at a time: a second one would take the statistics file, the control socket and the NIC port's frames from
// the first.
#pragma once

#include <string>

#include "daemon/config/config.hpp"
#include "drivers/unique_fd.hpp"

namespace librettos {

class SoleHolder {
  public:
    // By locks on "<path>.lock" beside the statistics file and the control socket, which stay there when the process
    // ends; the last directories of both paths are made if they are missing. Throws std::system_error: EBUSY with the
    // process that has one of them.
    explicit SoleHolder(Config::Paths const& paths);

  private:
    UniqueFd stats_;
    UniqueFd api_socket_;
};

}  // namespace librettos
