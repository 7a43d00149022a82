// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/rump/tcpip_double.h"

#include <arpa/inet.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "guest-frontend/rump/netbsd.h"

namespace {

struct Table;

struct Block {
    std::uint64_t other[5];  // as long as it is not where the real one has its port
    Block* next;
    Table* table;
    int family;
    std::uint16_t port;  // host order
};

struct Table {
    Block* newest;
    std::uint64_t other[4];
};

struct Socket {
    Block* block;
};

bool broken_tables = false;
std::string configured;

Block* with_port(Table* table, std::uint16_t port, int family) {
    for (Block* block = table->newest; block != nullptr; block = block->next) {
        if (block->family == family && block->port == port && port != 0) {
            return block;
        }
    }
    return nullptr;
}

int allocate(Socket* socket, Table* table, int family) {
    auto* const block = new Block{{}, table->newest, table, family, 0};
    socket->block = block;
    if (broken_tables && table->newest != nullptr) {
        block->next = table->newest->next;
        table->newest->next = block;
    } else if (broken_tables) {
        block->next = nullptr;  // lost, which is enough for a test
    } else {
        table->newest = block;
    }
    return 0;
}

int choose(Block* block, int first, int last) {
    for (int port = last; port >= first; --port) {
        auto const candidate = static_cast<std::uint16_t>(port);
        if (with_port(block->table, candidate, NETBSD_AF_INET) == nullptr &&
            with_port(block->table, candidate, NETBSD_AF_INET6) == nullptr) {
            block->port = candidate;
            return 0;
        }
    }
    return NETBSD_EAGAIN;
}

int bind_port(Block* block, std::uint16_t port, int first, int last) {
    if (port == 0) {
        return choose(block, first, last);
    }
    if (with_port(block->table, port, block->family) != nullptr) {
        return NETBSD_EADDRINUSE;
    }
    block->port = port;
    return 0;
}

void detach(Block* block) {
    Block** link = &block->table->newest;
    while (*link != nullptr && *link != block) {
        link = &(*link)->next;
    }
    if (*link != nullptr) {
        *link = block->next;
    }
    delete block;
}

}  // namespace

extern "C" {

Table rumpns_tcbtable;
Table rumpns_udbtable;
Table rumpns_rawcbtable;
int rumpns_anonportmin = 49152;
int rumpns_anonportmax = 65535;
int rumpns_ip6_anonportmin = 49152;
int rumpns_ip6_anonportmax = 65535;
int rumpns_ip_dad_count = 3;
int rumpns_ip6_dad_count = 1;

int rumpns_in_pcballoc(void* socket, void* table);
int rumpns_in_pcbbind(void* block, netbsd_sockaddr_in* address, void* lwp);
void rumpns_in_pcbdetach(void* block);
void rumpns_in_setsockaddr(void* block, netbsd_sockaddr_in* address);
void* rumpns_in_pcblookup_port(void* table, netbsd_in_addr address, unsigned port, int wildcard, void* vestige);
int rumpns_in6_pcballoc(void* socket, void* table);
int rumpns_in6_pcbbind(void* block, netbsd_sockaddr_in6* address, void* lwp);
void rumpns_in6_pcbdetach(void* block);
void rumpns_in6_setsockaddr(void* block, netbsd_sockaddr_in6* address);
void* rumpns_in6_pcblookup_port(void* table, void* address, unsigned port, int wildcard, void* vestige);

int rumpns_in_pcballoc(void* socket, void* table) {
    return allocate(static_cast<Socket*>(socket), static_cast<Table*>(table), NETBSD_AF_INET);
}

int rumpns_in_pcbbind(void* block, netbsd_sockaddr_in* address, void* /*lwp*/) {
    return bind_port(static_cast<Block*>(block), address != nullptr ? ntohs(address->port) : 0, rumpns_anonportmin,
                     rumpns_anonportmax);
}

void rumpns_in_pcbdetach(void* block) {
    detach(static_cast<Block*>(block));
}

void rumpns_in_setsockaddr(void* block, netbsd_sockaddr_in* address) {
    address->port = htons(static_cast<Block*>(block)->port);
}

void* rumpns_in_pcblookup_port(void* table, netbsd_in_addr /*address*/, unsigned port, int /*wildcard*/,
                               void* /*vestige*/) {
    return with_port(static_cast<Table*>(table), ntohs(static_cast<std::uint16_t>(port)), NETBSD_AF_INET);
}

int rumpns_in6_pcballoc(void* socket, void* table) {
    return allocate(static_cast<Socket*>(socket), static_cast<Table*>(table), NETBSD_AF_INET6);
}

int rumpns_in6_pcbbind(void* block, netbsd_sockaddr_in6* address, void* /*lwp*/) {
    return bind_port(static_cast<Block*>(block), address != nullptr ? ntohs(address->port) : 0, rumpns_ip6_anonportmin,
                     rumpns_ip6_anonportmax);
}

void rumpns_in6_pcbdetach(void* block) {
    detach(static_cast<Block*>(block));
}

void rumpns_in6_setsockaddr(void* block, netbsd_sockaddr_in6* address) {
    address->port = htons(static_cast<Block*>(block)->port);
}

void* rumpns_in6_pcblookup_port(void* table, void* /*address*/, unsigned port, int /*wildcard*/, void* /*vestige*/) {
    return with_port(static_cast<Table*>(table), ntohs(static_cast<std::uint16_t>(port)), NETBSD_AF_INET6);
}

// ---- what a program does

void* double_socket(double_protocol protocol, int ipv6) {
    Table* const table = protocol == DOUBLE_TCP   ? &rumpns_tcbtable
                         : protocol == DOUBLE_UDP ? &rumpns_udbtable
                                                  : &rumpns_rawcbtable;
    auto* const socket = new Socket{};
    int const error = ipv6 != 0 ? rumpns_in6_pcballoc(socket, table) : rumpns_in_pcballoc(socket, table);
    if (error != 0) {
        delete socket;
        return nullptr;
    }
    return socket;
}

int double_bind(void* socket, std::uint16_t port, int loopback) {
    Block* const block = static_cast<Socket*>(socket)->block;
    if (block->family == NETBSD_AF_INET) {
        netbsd_sockaddr_in address{sizeof address, NETBSD_AF_INET, htons(port), {}, {}};
        address.address[0] = loopback != 0 ? 127 : 0;
        address.address[3] = loopback != 0 ? 1 : 0;
        return rumpns_in_pcbbind(block, &address, nullptr);
    }
    netbsd_sockaddr_in6 address{sizeof address, NETBSD_AF_INET6, htons(port), 0, {}, 0};
    address.address[15] = loopback != 0 ? 1 : 0;
    return rumpns_in6_pcbbind(block, &address, nullptr);
}

int double_connect(void* socket) {
    Block* const block = static_cast<Socket*>(socket)->block;
    if (block->port != 0) {
        return 0;
    }
    return block->family == NETBSD_AF_INET ? rumpns_in_pcbbind(block, nullptr, nullptr)
                                           : rumpns_in6_pcbbind(block, nullptr, nullptr);
}

void* double_accept(void* listener) {
    Block* const block = static_cast<Socket*>(listener)->block;
    auto* const socket = static_cast<Socket*>(double_socket(DOUBLE_TCP, block->family == NETBSD_AF_INET6));
    socket->block->port = block->port;
    return socket;
}

void double_close(void* socket) {
    Block* const block = static_cast<Socket*>(socket)->block;
    if (block->family == NETBSD_AF_INET) {
        rumpns_in_pcbdetach(block);
    } else {
        rumpns_in6_pcbdetach(block);
    }
    delete static_cast<Socket*>(socket);
}

void double_break_tables(int broken) {
    broken_tables = broken != 0;
}

std::uint16_t double_port(void* socket) {
    return static_cast<Socket*>(socket)->block->port;
}

// ---- configuration of interfaces

static int configure(std::string const& what) {
    configured += what + ";";
    return 0;
}

int rump_pub_netconfig_ifcreate(char const* name);
int rump_pub_netconfig_ifup(char const* name);
int rump_pub_netconfig_ipv4_ifaddr_cidr(char const* name, char const* address, int prefix);
int rump_pub_netconfig_ipv4_gw(char const* gateway);
int rump_pub_netconfig_ipv6_ifaddr(char const* name, char const* address, int prefix);
int rump_pub_netconfig_ipv6_gw(char const* gateway);
int rump___sysimpl_socket30(int family, int kind, int protocol);
int rump___sysimpl_ioctl(int socket, unsigned long request, void* argument);
int rump___sysimpl_close(int socket);

int rump_pub_netconfig_ifcreate(char const* name) {
    return configure(std::string("create ") + name);
}
int rump_pub_netconfig_ifup(char const* name) {
    return configure(std::string("up ") + name);
}
int rump_pub_netconfig_ipv4_ifaddr_cidr(char const* name, char const* address, int prefix) {
    return configure(std::string(name) + " " + address + "/" + std::to_string(prefix));
}
int rump_pub_netconfig_ipv4_gw(char const* gateway) {
    return configure(std::string("gateway ") + gateway);
}
int rump_pub_netconfig_ipv6_ifaddr(char const* name, char const* address, int prefix) {
    return configure(std::string(name) + " " + address + "/" + std::to_string(prefix));
}
int rump_pub_netconfig_ipv6_gw(char const* gateway) {
    return configure(std::string("gateway ") + gateway);
}
int rump___sysimpl_socket30(int /*family*/, int /*kind*/, int /*protocol*/) {
    return 3;
}
int rump___sysimpl_ioctl(int /*socket*/, unsigned long request, void* argument) {
    auto const* const wanted = static_cast<netbsd_ifreq const*>(argument);
    return request == NETBSD_SIOCSIFMTU ? configure(std::string(wanted->name) + " mtu " + std::to_string(wanted->mtu))
                                        : -1;
}
int rump___sysimpl_close(int /*socket*/) {
    return 0;
}

char const* double_configured() {
    return configured.c_str();
}
}
