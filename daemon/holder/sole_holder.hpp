// SPDX-License-Identifier: BSD-2-Clause
// One holder at a time: a second one would take the statistics file, the control socket and the NIC port's frames from
// the first.
#pragma once

#include <string>

namespace librettos {

class SoleHolder {
  public:
    // By a lock on "<stats_path>.lock", which stays there when the process ends. Throws std::system_error: EBUSY with
    // the process that has it.
    explicit SoleHolder(std::string const& stats_path);
    ~SoleHolder();
    SoleHolder(SoleHolder const&) = delete;
    SoleHolder& operator=(SoleHolder const&) = delete;

  private:
    int fd_;
};

}  // namespace librettos
