// SPDX-License-Identifier: BSD-2-Clause
// Recording and comparing register accesses.
#include "tests/nic82599/register_trace.hpp"

#include <cstdio>
#include <utility>

namespace nic82599 {
namespace {

std::string hexadecimal(std::uint32_t value) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%x", value);
    return text;
}

}  // namespace

void RegisterTrace::record(Access const& access) {
    std::lock_guard const lock(mutex_);
    accesses_.push_back(access);
}

std::vector<Access> RegisterTrace::take() {
    std::lock_guard const lock(mutex_);
    return std::exchange(accesses_, {});
}

std::vector<std::uint32_t> RegisterTrace::writes(reg::Offset offset, Function function) const {
    std::lock_guard const lock(mutex_);
    std::vector<std::uint32_t> values;
    for (Access const& access : accesses_) {
        if (access.kind == Access::Kind::write && access.offset == offset && access.function == function) {
            values.push_back(access.value);
        }
    }
    return values;
}

std::string RegisterTrace::missing(std::vector<ExpectedWrite> const& expected) const {
    std::lock_guard const lock(mutex_);
    std::size_t at = 0;
    for (Access const& access : accesses_) {
        if (at < expected.size() && access.kind == Access::Kind::write && access.offset == expected[at].offset &&
            access.function == expected[at].function &&
            ((access.value ^ expected[at].value) & expected[at].mask) == 0) {
            ++at;
        }
    }
    if (at == expected.size()) {
        return {};
    }
    ExpectedWrite const& absent = expected[at];
    std::string text = "write " + std::to_string(at) + " did not happen: " + hexadecimal(absent.value) +
                       " to register " + hexadecimal(absent.offset) + "; written to it were:";
    for (Access const& access : accesses_) {
        if (access.kind == Access::Kind::write && access.offset == absent.offset) {
            text += " " + hexadecimal(access.value);
        }
    }
    return text;
}

}  // namespace nic82599
