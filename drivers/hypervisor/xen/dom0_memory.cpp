// SPDX-License-Identifier: BSD-2-Clause
// xl takes memory from dom0 for a new guest (autoballoon in xl.conf(5)) unless it is told not to, or dom0 has a fixed
// size. Memory in use stays; the next start of a server may find none.
#include "drivers/hypervisor/xen/dom0_memory.hpp"

#include <fstream>

namespace librettos {
namespace {

namespace fs = std::filesystem;
using Verdict = StartCheck::Verdict;

// The value of a line `key = "value"`, quotes or not; the last one counts. Empty: there is none.
std::string setting(fs::path const& file, std::string_view key) {
    std::ifstream lines(file);
    std::string value;
    for (std::string line; std::getline(lines, line);) {
        auto const equals = line.find('=');
        auto const first = line.find_first_not_of(" \t");
        if (equals == std::string::npos ||
            line.compare(first, line.find_last_not_of(" \t", equals - 1) + 1 - first, key))
            continue;
        auto const begin = line.find_first_not_of(" \t\"'", equals + 1);
        auto const end = line.find_first_of(" \t\"'#", begin);
        value = begin == std::string::npos ? "" : line.substr(begin, end == std::string::npos ? end : end - begin);
    }
    return value;
}

bool has_fixed_size(std::string_view command_line) {
    return command_line.starts_with("dom0_mem=") || command_line.find(" dom0_mem=") != std::string_view::npos;
}

}  // namespace

std::vector<StartCheck> check_dom0_memory(std::string_view command_line, fs::path const& root) {
    std::string capabilities;
    std::ifstream(root / "proc/xen/capabilities") >> capabilities;
    if (capabilities.find("control_d") == std::string::npos)
        return {};
    constexpr char name[] = "dom0's memory";
    auto const autoballoon = setting(root / "etc/xen/xl.conf", "autoballoon");
    if (autoballoon == "off" || autoballoon == "0")
        return {{name, Verdict::good, "xl leaves it alone: autoballoon is off in /etc/xen/xl.conf", ""}};
    bool const automatic = autoballoon.empty() || autoballoon == "auto";
    if (automatic && has_fixed_size(command_line))
        return {{name, Verdict::good, "xl leaves it alone: dom0_mem is on Xen's command line", ""}};
    return {{name, Verdict::warning,
             "xl takes from it for each new guest; the next start of this server may find too little",
             "dom0_mem=SIZE,max:SIZE on Xen's command line, or autoballoon=\"off\" in /etc/xen/xl.conf"}};
}

}  // namespace librettos
