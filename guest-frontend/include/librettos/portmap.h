/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The portmap as guests and the server see it: which domain owns which TCP and UDP port of the shared address.
 *
 * The table is one region of LVIF_PORTMAP_BYTES: a header page, 65,536 entries for TCP, 65,536 for UDP. It is
 * written by the authority alone (hypervisor, hypervisord, or the server on an unpatched Xen) and mapped read-only
 * by the server. An entry is one naturally aligned 32-bit word, written and read whole (relaxed): the reader needs one
 * load per frame and no lock.
 *
 *   entry:  31      24 23      18 17 16 15            0
 *          | flags    | zero     |state | owner domain |
 *
 * Operations (return 0 or a negative Linux errno; the same on every authority):
 *
 *   bind(protocol, port) -> port      guest. Claims a port; 0: the authority chooses, unpredictably, one free port of the
 *                                     ephemeral range. Claiming what one owns already succeeds.
 *     -EADDRINUSE   owned by another, reserved for the host, or quarantined for another guest name; port 0: none free
 *     -EDQUOT       the caller's limit is reached
 *     -EINVAL       unknown protocol, or a port that does not fit
 *   lease(protocol, count) -> first   guest. Claims a block of `count` consecutive ports of the ephemeral range
 *                                     at once, for stacks that choose by themselves. Flag LEASED is set on each.
 *                                     Protocol LVIF_PORT_TCP_AND_UDP: the same block of both protocols, or of neither,
 *                                     for stacks with one ephemeral range (Linux); it counts twice against the limit.
 *     -EADDRINUSE   no such block is free      -EDQUOT, -EINVAL as above
 *   release(protocol, first, count)   guest. Frees ports; the range may cover bound and leased ones. Protocol
 *                                     LVIF_PORT_TCP_AND_UDP: of both; with first and count 0: all that the caller owns, for
 *                                     a program that starts anew in a domain that lived on.
 *     -EPERM        one of them is not the caller's (nothing is released)
 *
 *   set_limit(domain, ports)          control domain: the most ports the domain may own, of both protocols together
 *   reserve(protocol, first, count) / unreserve    control domain: ports kept for the host
 *   assign_server(domain)             control domain: which domain may map the tables
 *   query(protocol, port) -> entry, owner name, age, quarantine left     control domain and the assigned server
 *
 * When a domain is destroyed its ports become QUARANTINED for a time (default 60 s): only a domain of the same name
 * may claim them; afterwards they are free. Ephemeral range: 32768 .. 60999 by default.
 */
#ifndef LIBRETTOS_PORTMAP_H
#define LIBRETTOS_PORTMAP_H

#include <stddef.h>
#include <stdint.h>

#include <librettos/static_assert.h>

#define LVIF_PORTMAP_MAGIC 0x50414d50u /* "PMAP", little endian */
#define LVIF_PORTMAP_VERSION 1u
#define LVIF_PORTS 65536u
#define LVIF_PORT_TCP_AND_UDP 0u /* protocol of a lease or release: both at once */

enum lvif_port_state {
	LVIF_PORT_FREE = 0,
	LVIF_PORT_BOUND = 1,       /* owner: the domain */
	LVIF_PORT_RESERVED = 2,    /* for the host; owner: 0 */
	LVIF_PORT_QUARANTINED = 3, /* owner: the dead domain */
};

#define LVIF_PORT_OWNER_MASK 0x0000ffffu
#define LVIF_PORT_STATE_SHIFT 16
#define LVIF_PORT_STATE_MASK 0x00030000u
#define LVIF_PORT_LEASED 0x01000000u

static inline uint32_t lvif_port_entry(enum lvif_port_state state, uint16_t owner, uint32_t flags)
{
	return ((uint32_t)state << LVIF_PORT_STATE_SHIFT) | owner | flags;
}

struct lvif_portmap {
	uint32_t magic;
	uint32_t version;
	uint32_t ephemeral_first;
	uint32_t ephemeral_last; /* inclusive */
	uint8_t reserved[4096 - 16];
	uint32_t tcp[LVIF_PORTS]; /* atomic, by port in host order */
	uint32_t udp[LVIF_PORTS];
};
#define LVIF_PORTMAP_BYTES sizeof(struct lvif_portmap)

LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap) == 4096 + 2 * 4 * 65536, "portmap: header page and two tables");
LVIF_STATIC_ASSERT(offsetof(struct lvif_portmap, tcp) == 4096, "portmap");
LVIF_STATIC_ASSERT(offsetof(struct lvif_portmap, udp) == 4096 + 4 * 65536, "portmap");

#endif
