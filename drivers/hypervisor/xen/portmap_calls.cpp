// SPDX-License-Identifier: BSD-2-Clause
// The portmap's hypercall.
#include "drivers/hypervisor/xen/portmap_calls.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace librettos {

namespace {

[[noreturn]] void fail(int error, std::string const& what) {
    throw std::system_error{error, std::system_category(), what};
}

void check(int status, char const* what) {
    if (status != 0)
        fail(-status, std::string{"portmap hypercall: "} + what);
}

}  // namespace

PortmapCalls::PortmapCalls() : calls_{::xencall_open(nullptr, 0)} {
    if (calls_ == nullptr)
        fail(errno, "/dev/xen/privcmd (as root; modprobe xen-privcmd)");
    buffer_ = ::xencall_alloc_buffer(calls_.get(), sizeof(lvif_portmap_query));
    if (buffer_ == nullptr)
        fail(errno, "a buffer for hypercalls");
}

PortmapCalls::~PortmapCalls() {
    if (buffer_ != nullptr)
        ::xencall_free_buffer(calls_.get(), buffer_);
}

int PortmapCalls::call(lvif_portmap_operation operation, void* structure, std::size_t bytes) {
    std::memcpy(buffer_, structure, bytes);
    int const status =
        ::xencall2(calls_.get(), LVIF_PORTMAP_HYPERCALL, operation, reinterpret_cast<std::uintptr_t>(buffer_));
    if (status < 0)
        return -errno;
    std::memcpy(structure, buffer_, bytes);
    return 0;
}

bool PortmapCalls::present() {
    lvif_portmap_features features{};
    switch (int const status = call(LVIF_PORTMAP_OP_FEATURES, features); status) {
        case 0:
            return features.magic == LVIF_PORTMAP_ABI_MAGIC && features.abi == LVIF_PORTMAP_ABI;
        case -ENOSYS:
        case -EPERM:  // from this kernel; the hypervisor answers everybody
            return false;
        default:
            fail(-status, "asking the hypervisor for its portmap");
    }
}

lvif_portmap_table PortmapCalls::table() {
    lvif_portmap_table table{};
    check(call(LVIF_PORTMAP_OP_TABLE, table), "table");
    return table;
}

lvif_portmap_query PortmapCalls::query(std::uint8_t protocol, std::uint16_t port) {
    lvif_portmap_query answer{};
    answer.protocol = protocol;
    answer.port = port;
    check(call(LVIF_PORTMAP_OP_QUERY, answer), "query");
    return answer;
}

void PortmapCalls::assign(std::uint16_t server) {
    lvif_portmap_domain assigned{};
    assigned.domain = server;
    check(call(LVIF_PORTMAP_OP_ASSIGN_SERVER, assigned), "assign server");
}

void PortmapCalls::set_name(DomId domain, std::string_view name) {
    lvif_portmap_name named{};
    named.domain = domain.value;
    name.copy(named.name, LVIF_PORTMAP_NAME_MAX);
    check(call(LVIF_PORTMAP_OP_SET_NAME, named), "set name");
}

void PortmapCalls::set_limit(DomId domain, std::uint32_t ports) {
    lvif_portmap_domain limit{};
    limit.domain = domain.value;
    limit.value = ports;
    check(call(LVIF_PORTMAP_OP_SET_LIMIT, limit), "set limit");
}

void PortmapCalls::reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool reserve) {
    lvif_portmap_ports ports{};
    ports.protocol = protocol;
    ports.on = reserve ? 1 : 0;
    ports.port = first;
    ports.count = count;
    check(call(LVIF_PORTMAP_OP_RESERVE, ports), "reserve");
}

void PortmapCalls::seed() {
    lvif_portmap_seed seed{};
    if (::getrandom(seed.bytes, sizeof(seed.bytes), 0) != sizeof(seed.bytes))
        fail(errno, "getrandom");
    check(call(LVIF_PORTMAP_OP_SEED, seed), "seed");
}

}  // namespace librettos
