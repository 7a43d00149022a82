// SPDX-License-Identifier: BSD-2-Clause
// The little that ServerPortmap needs of a store that outlives the server: values of up to 1,000 bytes under paths in
// the server's own directory.
//
// One thread makes all calls. Failures are thrown as std::system_error that says what was tried.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace librettos {

class PortStore {
  public:
    virtual ~PortStore() = default;

    virtual std::optional<std::string> read(std::string const& path) = 0;
    virtual std::vector<std::string> list(std::string const& path) = 0;         // empty when there is no such path
    virtual void write(std::string const& path, std::string const& value) = 0;  // creates what is above it
    virtual void remove(std::string const& path) = 0;                           // no error when there is none
};

}  // namespace librettos
