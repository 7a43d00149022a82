// SPDX-License-Identifier: BSD-2-Clause
// What the file of an engine says about itself, read without loading it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "daemon/engine/object/contract.hpp"

namespace librettos {

class EngineObjectError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct EngineObject {
    EngineContract contract{};
    std::string version;
    std::string build;               // the linker's build id, hexadecimal; empty: linked without one
    std::uint64_t loaded_bytes = 0;  // from the start of the file: what the loader needs of it
};

// `fd`: a file that can be read at any offset; its position is not used. Throws EngineObjectError: no engine.
EngineObject inspect_engine(int fd);

}  // namespace librettos
