// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/real_stack.hpp"

#include <arpa/inet.h>
#include <dlfcn.h>

#include <array>

namespace librettos::guest {

namespace {

// Behind this component in the search order.
template <typename Function>
void find_next(Function*& function, char const* name) {
    function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

template <typename Function>
void find(Function*& function, char const* name) {
    function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

// A variable of the stack's, where it has it.
void set(char const* name, int value) {
    if (auto* const variable = static_cast<int*>(dlsym(RTLD_DEFAULT, name))) {
        __atomic_store_n(variable, value, __ATOMIC_RELAXED);
    }
}

}  // namespace

RealStack real_stack() {
    RealStack stack;
    find_next(stack.ipv4.allocate, "rumpns_in_pcballoc");
    find_next(stack.ipv4.bind, "rumpns_in_pcbbind");
    find_next(stack.ipv4.detach, "rumpns_in_pcbdetach");
    find(stack.ipv4.get_address, "rumpns_in_setsockaddr");
    find_next(stack.ipv6.allocate, "rumpns_in6_pcballoc");
    find_next(stack.ipv6.bind, "rumpns_in6_pcbbind");
    find_next(stack.ipv6.detach, "rumpns_in6_pcbdetach");
    find(stack.ipv6.get_address, "rumpns_in6_setsockaddr");
    find(stack.find4, "rumpns_in_pcblookup_port");
    find(stack.find6, "rumpns_in6_pcblookup_port");
    stack.tcp_table = dlsym(RTLD_DEFAULT, "rumpns_tcbtable");
    stack.udp_table = dlsym(RTLD_DEFAULT, "rumpns_udbtable");
    return stack;
}

std::optional<Protocol> RealStack::protocol_of(void* table) const {
    if (table == tcp_table) {
        return Protocol::tcp;
    }
    return table == udp_table ? std::optional(Protocol::udp) : std::nullopt;
}

bool RealStack::in_use(Protocol protocol, std::uint16_t port) const {
    void* const table = protocol == Protocol::tcp ? tcp_table : udp_table;
    unsigned const wanted = htons(port);
    if (find4 != nullptr && find4(table, {}, wanted, 1, nullptr) != nullptr) {
        return true;
    }
    if (find6 == nullptr) {
        return false;
    }
    alignas(4) std::array<std::uint8_t, 16> any{};
    alignas(4) std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return find6(table, any.data(), wanted, 1, nullptr) != nullptr ||
           find6(table, mapped.data(), wanted, 1, nullptr) != nullptr;
}

// Variables behind sysctls: net.inet.ip.anonportmin and so on.
void set_ephemeral_range(PortBlock block) {
    set("rumpns_anonportmin", block.first);
    set("rumpns_anonportmax", block.last);
    set("rumpns_ip6_anonportmin", block.first);
    set("rumpns_ip6_anonportmax", block.last);
}

void use_addresses_at_once() {
    set("rumpns_ip_dad_count", 0);
    set("rumpns_ip6_dad_count", 0);
}

}  // namespace librettos::guest
