// SPDX-License-Identifier: BSD-2-Clause
// hypervisord's socket in the file system.
#pragma once

#include <string>

#include "drivers/unique_fd.hpp"

namespace librettos {

class ListeningSocket {
  public:
    // Takes the place of a socket on which nobody answers; any other file is left alone and is an error. Mode 0660,
    // group `group` when it is not empty (then users of that group may be guests), else 0600.
    ListeningSocket(std::string path, std::string const& group);
    ~ListeningSocket();  // removes it
    ListeningSocket(ListeningSocket const&) = delete;
    ListeningSocket& operator=(ListeningSocket const&) = delete;

    int fd() const { return fd_.get(); }

  private:
    std::string path_;
    UniqueFd lock_;  // on "<path>.lock": one hypervisord at a time gets past the stale-socket check
    UniqueFd fd_;
};

}  // namespace librettos
