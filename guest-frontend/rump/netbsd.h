/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NetBSD's binary interface, as far as the port hooks and the configuration touch it. No layout of a control block is
 * known here: blocks are handed on, and asked by the stack's own functions.
 */
#ifndef LIBRETTOS_RUMP_NETBSD_H
#define LIBRETTOS_RUMP_NETBSD_H

#include <stdint.h>

#include <librettos/static_assert.h>

#define NETBSD_AF_INET 2
#define NETBSD_AF_INET6 24
#define NETBSD_EAFNOSUPPORT 47
#define NETBSD_EADDRINUSE 48
#define NETBSD_ENETDOWN 50
#define NETBSD_EADDRNOTAVAIL 49
#define NETBSD_EAGAIN 35

/* Ports and addresses in network byte order. */
struct netbsd_sockaddr_in {
    uint8_t length; /* sizeof of it */
    uint8_t family;
    uint16_t port;
    uint8_t address[4];
    uint8_t zero[8];
};

struct netbsd_sockaddr_in6 {
    uint8_t length;
    uint8_t family;
    uint16_t port;
    uint32_t flow;
    uint8_t address[16];
    uint32_t scope;
};

struct netbsd_in_addr {
    uint32_t address;
};

/* ioctl SIOCSIFMTU */
#define NETBSD_SIOCSIFMTU 0x8090697fUL
#define NETBSD_SOCK_DGRAM 2
struct netbsd_ifreq {
    char name[16];
    int32_t mtu;
    uint8_t rest[124];
};

LVIF_STATIC_ASSERT(sizeof(struct netbsd_sockaddr_in) == 16, "sockaddr_in");
LVIF_STATIC_ASSERT(sizeof(struct netbsd_sockaddr_in6) == 28, "sockaddr_in6");
LVIF_STATIC_ASSERT(sizeof(struct netbsd_ifreq) == 144, "the request number of SIOCSIFMTU holds this size");

#endif
