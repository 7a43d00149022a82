// SPDX-License-Identifier: BSD-2-Clause
// Takes a device string apart.
#include "drivers/nic/device.hpp"

#include <algorithm>
#include <cctype>

namespace librettos {
namespace {

// `pattern` holds x for a hexadecimal digit; everything else stands for itself.
bool matches(std::string_view text, std::string_view pattern) {
    return std::equal(text.begin(), text.end(), pattern.begin(), pattern.end(), [](char have, char want) {
        return want == 'x' ? std::isxdigit(static_cast<unsigned char>(have)) != 0 : have == want;
    });
}

}  // namespace

Device::Device(std::string_view configured) : text(configured), name(configured.substr(0, configured.find(','))) {
    if (matches(name, "xx:xx.x")) {
        text.insert(0, "0000:");
        name.insert(0, "0000:");
    }
    pci = matches(name, "xxxx:xx:xx.x");
    if (!pci && !name.starts_with("net_")) {
        interface = text;
        name = "net_null0";  // what DPDK has in its place: packet_port.hpp
    } else if (!pci) {
        driver = name.substr(0, name.find_last_not_of("0123456789") + 1);
    }
}

std::string Device::argument(std::string_view key) const {
    std::string_view rest = text;
    while (!rest.empty()) {
        auto const comma = rest.find(',');
        std::string_view const item = rest.substr(0, comma);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
        if (item.size() > key.size() && item.starts_with(key) && item[key.size()] == '=') {
            return std::string(item.substr(key.size() + 1));
        }
    }
    return {};
}

}  // namespace librettos
