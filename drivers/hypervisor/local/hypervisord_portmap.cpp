// SPDX-License-Identifier: BSD-2-Clause
// The portmap of librettos-hypervisord.
#include "drivers/hypervisor/local/hypervisord_portmap.hpp"

#include <string>
#include <system_error>

namespace librettos {

namespace {

void check(int result, std::string const& what) {
    if (result < 0)
        throw std::system_error{-result, std::generic_category(), "hypervisord: " + what};
}

}  // namespace

lvif_portmap const& HypervisordPortmap::table() const {
    lvif_portmap const* portmap = nullptr;
    check(lvif_hv_portmap_map(hv_, &portmap), "mapping the portmap");
    return *portmap;
}

PortInfo HypervisordPortmap::query(std::uint8_t protocol, std::uint16_t port) {
    lvif_port_info info;
    check(lvif_hv_port_query(hv_, protocol, port, &info), "query of port " + std::to_string(port));
    return {info.entry, info.age_s, info.quarantine_left_s, info.owner_ports, info.owner_limit, info.owner_name};
}

void HypervisordPortmap::set_limit(DomId domain, std::uint32_t ports) {
    check(lvif_hv_port_set_limit(hv_, domain.value, ports),
          "setting the port limit of domain " + std::to_string(domain.value));
}

void HypervisordPortmap::reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) {
    check(lvif_hv_port_reserve(hv_, protocol, first, count, reserve),
          (reserve ? "reserving ports from " : "taking back the reservation of ports from ") + std::to_string(first));
}

}  // namespace librettos
