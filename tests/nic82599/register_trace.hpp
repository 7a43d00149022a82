// SPDX-License-Identifier: BSD-2-Clause
// Every register access in order, and what a test expects of it: "this call writes that to this register".
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/registers.hpp"

namespace nic82599 {

struct Access {
    enum class Kind { read, write };
    Kind kind;
    Function function;
    reg::Offset offset;  // as the driver gave it, canonical
    std::uint32_t value;
};

struct ExpectedWrite {
    reg::Offset offset;
    std::uint32_t value;
    std::uint32_t mask = 0xFFFFFFFF;  // bits that matter
    Function function = Function::pf();
};

class RegisterTrace {
  public:
    void record(Access const& access);
    // What was recorded since the last call.
    std::vector<Access> take();

    // Values written to that register, in order, of what was recorded; nothing is taken.
    std::vector<std::uint32_t> writes(reg::Offset offset, Function function = Function::pf()) const;
    // Empty when all of them happened in this order, whatever happened between; else what is missing and what was
    // written instead.
    std::string missing(std::vector<ExpectedWrite> const& expected) const;

  private:
    mutable std::mutex mutex_;
    std::vector<Access> accesses_;
};

}  // namespace nic82599
