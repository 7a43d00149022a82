/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The portmap's hypercall: how guests, the server and the control domain reach the authority in a Xen hypervisor that was
 * built with portmap/xen. The semantics are those of librettos/portmap.h; this is only how they are called.
 *
 *   long hypercall(LVIF_PORTMAP_HYPERCALL, operation, address of the operation's structure)
 *
 * The structure lies in the caller's memory (user space: libxencall's buffers). Fields named `zero` must be 0, so that a
 * later version can use them. Result: 0 or a negative Linux errno. An error leaves the structure as it was.
 *
 * Who may call what:
 *   any domain                          FEATURES
 *   any domain but the control domain   BIND, LEASE, RELEASE, each for itself alone: the hypervisor knows the caller
 *   control domain                      SET_LIMIT, RESERVE, ASSIGN_SERVER, SET_NAME, SET_QUARANTINE, SEED
 *   control domain, assigned server     QUERY
 *   assigned server                     TABLE, and mapping the frames that it tells
 *
 * Errors that every operation may give, besides its own:
 *   -ENOSYS      the hypervisor has no such hypercall (a stock Xen)
 *   -EOPNOTSUPP  no such operation, or none for this kind of domain
 *   -EPERM       not for this caller. Linux' privcmd gives the same error in a domU before it asks the hypervisor, unless it was
 *                loaded with unrestricted=1
 *   -EFAULT      the structure is not in the caller's memory
 *   -EINVAL      a field has an impossible value
 *   -ENOMEM      more domains own ports than the hypervisor keeps count of
 *
 * The same guest. A hypervisor knows no names, but a UUID that the toolstack gives a domain (xl: `uuid = ` in its
 * configuration; one made up at each start otherwise) and the name that the control domain tells with SET_NAME. What is
 * quarantined may be claimed by a domain with the same UUID, or the same name.
 */
#ifndef LIBRETTOS_PORTMAP_HYPERCALL_H
#define LIBRETTOS_PORTMAP_HYPERCALL_H

#include <librettos/portmap.h>

#define LVIF_PORTMAP_HYPERCALL 46u
#define LVIF_PORTMAP_ABI_MAGIC 0x4c504d48u /* "HMPL", little endian */
#define LVIF_PORTMAP_ABI 1u
#define LVIF_PORTMAP_NAME_MAX 63u
#define LVIF_PORTMAP_UUID_BYTES 16u
#define LVIF_PORTMAP_SELF 0x7ff0u   /* ASSIGN_SERVER: the caller; DOMID_SELF */
#define LVIF_PORTMAP_NOBODY 0xffffu /* ASSIGN_SERVER: no domain */
#define LVIF_PORTMAP_QUARANTINE_MAX_S 86400u

/* Bits of lvif_portmap_features.features. */
#define LVIF_PORTMAP_F_TABLE_PV 0x1u /* TABLE works in a PV domain */

enum lvif_portmap_operation {
	/* struct lvif_portmap_features, out */
	LVIF_PORTMAP_OP_FEATURES = 0,

	/* struct lvif_portmap_ports. BIND: protocol, port (0: choose), the port comes back. LEASE: protocol, count; the
	 * first port comes back. RELEASE: protocol, port, count; all of it 0:
	 * everything. */
	LVIF_PORTMAP_OP_BIND = 1,
	LVIF_PORTMAP_OP_LEASE = 2,
	LVIF_PORTMAP_OP_RELEASE = 3,

	/* struct lvif_portmap_domain; value: ports. -ENOENT: no such domain. */
	LVIF_PORTMAP_OP_SET_LIMIT = 16,
	/* struct lvif_portmap_ports: protocol, port, count, on */
	LVIF_PORTMAP_OP_RESERVE = 17,
	/* struct lvif_portmap_domain; domain, SELF or NOBODY; value 0. -ENOENT: no such domain. -EBUSY: another domain still maps
	 * the table; it has to end, or to unmap it, first. */
	LVIF_PORTMAP_OP_ASSIGN_SERVER = 18,
	/* struct lvif_portmap_name. -ENOENT: no such domain. */
	LVIF_PORTMAP_OP_SET_NAME = 19,
	/* struct lvif_portmap_domain; domain 0, value: seconds. Also for what is quarantined already. */
	LVIF_PORTMAP_OP_SET_QUARANTINE = 20,
	/* struct lvif_portmap_seed: stirred into what ports are drawn with */
	LVIF_PORTMAP_OP_SEED = 21,

	/* struct lvif_portmap_query */
	LVIF_PORTMAP_OP_QUERY = 32,
	/* struct lvif_portmap_table, out. -EOPNOTSUPP: the server's domain is HVM or PVH. */
	LVIF_PORTMAP_OP_TABLE = 33,
};

struct lvif_portmap_features {
	uint32_t magic; /* LVIF_PORTMAP_ABI_MAGIC */
	uint32_t abi;   /* LVIF_PORTMAP_ABI: another number is another interface */
	uint32_t features;
	uint32_t ports_per_domain; /* limit of a domain whose limit was not set */
	uint32_t quarantine_s;
	uint32_t owners; /* domains that may own or keep ports at the same time */
	uint32_t zero[2];
};

struct lvif_portmap_ports {
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP; LEASE, RELEASE: also LVIF_PORT_TCP_AND_UDP */
	uint8_t on;       /* RESERVE: 1 reserves, 0 gives back; others: 0 */
	uint16_t port;    /* host order */
	uint32_t count;   /* BIND: 0 */
};

struct lvif_portmap_domain {
	uint16_t domain;
	uint16_t zero;
	uint32_t value;
};

struct lvif_portmap_name {
	uint16_t domain;
	uint8_t zero[6];
	char name[LVIF_PORTMAP_NAME_MAX + 1]; /* ends with NUL and is zero from there on; "": none */
};

struct lvif_portmap_seed {
	uint8_t bytes[32];
};

struct lvif_portmap_query {
	uint8_t protocol;
	uint8_t zero;
	uint16_t port;
	uint32_t entry; /* written by the hypervisor, from here on */
	uint32_t age_s;
	uint32_t quarantine_left_s;
	uint32_t owner_ports;
	uint32_t owner_limit;
	uint8_t owner_uuid[LVIF_PORTMAP_UUID_BYTES]; /* zero: the port has no owner, or a domain without UUID */
	char owner_name[LVIF_PORTMAP_NAME_MAX + 1];  /* "": none was told */
};

/* The machine frames of struct lvif_portmap, one after the other, to be mapped read-only as frames of DOMID_SELF. */
struct lvif_portmap_table {
	uint64_t first_frame;
	uint32_t frames;
	uint32_t zero;
};

LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_features) == 32, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_ports) == 8, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_domain) == 8, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_name) == 72, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_seed) == 32, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_query) == 104, "portmap hypercall");
LVIF_STATIC_ASSERT(offsetof(struct lvif_portmap_query, owner_uuid) == 24, "portmap hypercall");
LVIF_STATIC_ASSERT(sizeof(struct lvif_portmap_table) == 16, "portmap hypercall");

#endif
