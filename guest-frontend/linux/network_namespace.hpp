// SPDX-License-Identifier: BSD-2-Clause
// The guest's network namespace, under the name by which ip-netns(8) knows it too.
#pragma once

#include <string>

namespace librettos::guest {

class NetworkNamespace {
  public:
    enum class Existing {
        join,     // as it is; it is somebody else's and stays
        replace,  // left over by a guest that was killed: its name is ours by convention
    };

    // Moves the calling thread, and what it starts from now on, into the namespace, which is made if there is
    // none of that name. Throws std::system_error.
    NetworkNamespace(std::string const& name, Existing existing);
    // Removes the name if the namespace was made here; the namespace itself goes with its last process.
    ~NetworkNamespace();
    NetworkNamespace(NetworkNamespace const&) = delete;
    NetworkNamespace& operator=(NetworkNamespace const&) = delete;

    bool made() const { return made_; }

  private:
    void make();

    std::string path_;
    bool made_ = false;
};

}  // namespace librettos::guest
