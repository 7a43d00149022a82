// SPDX-License-Identifier: BSD-2-Clause
// An engine's code, ready to be run: a sealed copy in memory of what was in its file when it was taken. Whatever
// happens to the file afterwards (an upgrade half installed, a removal), this engine can be started again.
#pragma once

#include <stdexcept>
#include <string>

#include "daemon/engine/boot.hpp"
#include "daemon/engine/object/inspect.hpp"
#include "drivers/unique_fd.hpp"

namespace librettos {

// what() names the file, what is wrong with it and what to do.
class EngineImageError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class EngineImage {
  public:
    // Nothing of the file is run. Throws EngineImageError when it is missing, no engine, one that was built for another
    // holder, or one that others than those who may write this program may write.
    explicit EngineImage(std::string const& path);

    int fd() const { return fd_.get(); }
    EngineObject const& object() const { return object_; }
    bool same_build(EngineImage const& other) const;  // false if that cannot be told
    // "0.1.0, build 1a2b3c4d"
    std::string name() const;

  private:
    UniqueFd fd_;
    EngineObject object_;
};

// ../lib/librettos/librettos-engine.so, seen from the folder of this program.
std::string installed_engine_path();

using EngineEntry = int (*)(EngineBoot const*);

// In a child that is to become an engine: opens the image `fd` and closes it. Throws EngineImageError when it lacks a
// library or a function, or needs a library that the process has in another version: two DPDKs are none.
EngineEntry load_engine(int fd);

}  // namespace librettos
