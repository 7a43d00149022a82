/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire between librettos-hypervisord and its clients. Only hypervisord and hypervisord_client.c read this.
 *
 * Transport. A SOCK_SEQPACKET Unix socket: one message per packet. The client sends a request and waits for its reply
 * before it sends another; hypervisord answers each request with one message of the same `operation` and `sequence`. Watch
 * events travel on a second socket, which comes with the reply to HELLO, so they never stand in the way of a reply.
 *
 *   client                                     hypervisord
 *   HELLO role, name               ------->    SO_PEERCRED decides on the role
 *                                  <-------    status, own domain id, descriptor of the event socket
 *   any other operation            ------->
 *                                  <-------    status, results, descriptors
 *                                  <=======    event socket: "watched\0changed\0" per packet
 *   close                          ------->    the domain and all that it owns go
 *
 * A message is the 64 byte header and `length` bytes of payload, no byte more or less. Numbers are in the host's byte
 * order. The payload of a request is a sequence of NUL-terminated strings. What an operation does not use is zero.
 *
 * A request that breaks these rules (size, magic, version, operation, an argument or descriptor too many, a string too few) is
 * no request: hypervisord closes that connection and closes what came with it. A request that asks for something it cannot
 * have is answered with a negative errno in `status`.
 *
 * Shared memory. The client makes a memfd, seals it with F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL and without
 * F_SEAL_WRITE, and sends it with SHARE. Whoever maps it never meets SIGBUS: the size is fixed, and a page whose backing was
 * punched out comes back as zeros.
 *
 * Event channels. Nothing that the guest's end can do to its descriptors may make the server wait in read(2) or write(2):
 *
 *   guest -> server   an eventfd. The guest writes. The server reads with preadv2(RWF_NOWAIT), which does not wait even when
 *                     the guest has cleared O_NONBLOCK (an eventfd has one set of status flags for both ends) or has
 *                     just read the counter itself. The server never writes it: a full counter would block.
 *   server -> guest   a Unix stream socket pair. The server sends (MSG_DONTWAIT is implied by O_NONBLOCK, which here is
 *                     each end's own); the guest receives. The server's end is shut down for receiving, so the
 *                     guest cannot queue anything, above all no descriptors, towards the server.
 *
 * Pipes do not do: both directions of a pipe share a mutex that is held while bytes are copied from or to user memory, so
 * a guest that reads into a page which never arrives (FUSE, userfaultfd) stops the server's write.
 * hypervisord keeps the eventfd and the sending end: a restarted server binds the same port again and finds what was
 * notified in between.
 *
 * Life sign. MAP may name a byte of the region and a bound event port; hypervisord writes 0 there and notifies the guest on that
 * port when the mapping is undone or the server's connection ends.
 */
#ifndef LIBRETTOS_HYPERVISORD_PROTOCOL_H
#define LIBRETTOS_HYPERVISORD_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include <librettos/static_assert.h>

#define LVIF_HVP_MAGIC 0x44564c4cu /* "LLVD", little endian */
#define LVIF_HVP_VERSION 1u
#define LVIF_HVP_ARGUMENTS 5
#define LVIF_HVP_PAYLOAD_MAX 4032u
#define LVIF_HVP_REGION_BYTES_MAX (64u * 1024u * 1024u)
#define LVIF_HVP_NO_LIFE_SIGN UINT64_MAX
#define LVIF_HVP_EVENT_MAX 512u /* of a packet on the event socket */

/* operation: arguments, strings, descriptors -> results, payload, descriptors.  [P]: server and control only. */
enum lvif_hvp_operation {
	LVIF_HVP_HELLO = 1,    /* role, name ("" unless a guest) -> domain, event socket */
	LVIF_HVP_READ = 2,     /* path -> value */
	LVIF_HVP_WRITE = 3,    /* path, value -> */
	LVIF_HVP_REMOVE = 4,   /* path -> */
	LVIF_HVP_LIST = 5,     /* path, name to go on after ("": from the start) -> 1 if there are more; names */
	LVIF_HVP_PERMIT = 6,   /* owner, reader, path -> [P] */
	LVIF_HVP_WATCH = 7,    /* path -> */
	LVIF_HVP_UNWATCH = 8,  /* path -> */
	LVIF_HVP_SHARE = 9,    /* bytes, domain, memfd -> region (guest) */
	LVIF_HVP_UNSHARE = 10, /* region -> (guest) */
	LVIF_HVP_MAP =
	        11, /* domain, region, bytes, offset of the life sign or NO_LIFE_SIGN, its port -> memfd (server) */
	LVIF_HVP_UNMAP = 12,          /* domain, region -> (server) */
	LVIF_HVP_ALLOCATE = 13,       /* domain -> port, descriptors to receive and to notify (guest) */
	LVIF_HVP_BIND = 14,           /* domain, its port -> port, descriptors to receive and to notify (server) */
	LVIF_HVP_FREE = 15,           /* port -> */
	LVIF_HVP_PORT_BIND = 16,      /* protocol, port -> port (guest; and so on, portmap.h) */
	LVIF_HVP_PORT_LEASE = 17,     /* protocol, count -> first */
	LVIF_HVP_PORT_RELEASE = 18,   /* protocol, first, count -> */
	LVIF_HVP_PORTMAP = 19,        /* -> the table's descriptor, for reading [P] */
	LVIF_HVP_PORT_SET_LIMIT = 20, /* domain, ports -> [P] */
	LVIF_HVP_PORT_RESERVE = 21,   /* protocol, first, count, 1 or 0 -> [P] */
	LVIF_HVP_PORT_QUERY =
	        22, /* protocol, port -> entry, age s, quarantine left s, ports, limit; owner's name [P] */
	LVIF_HVP_STATISTICS = 23, /* -> struct lvif_hv_totals [P] */
	LVIF_HVP_OPERATIONS = 24
};

struct lvif_hvp_header {
	uint32_t magic;
	uint16_t version;
	uint16_t operation;
	uint32_t sequence; /* chosen by the client, returned in the reply */
	int32_t status;    /* request: 0; reply: 0 or a negative errno */
	uint32_t length;   /* bytes of payload */
	uint32_t reserved; /* 0 */
	uint64_t argument[LVIF_HVP_ARGUMENTS];
};

struct lvif_hvp_message {
	struct lvif_hvp_header header;
	char payload[LVIF_HVP_PAYLOAD_MAX];
};

LVIF_STATIC_ASSERT(sizeof(struct lvif_hvp_header) == 64, "hypervisord protocol: header");
LVIF_STATIC_ASSERT(offsetof(struct lvif_hvp_header, argument) == 24, "hypervisord protocol: header");
LVIF_STATIC_ASSERT(offsetof(struct lvif_hvp_message, payload) == 64, "hypervisord protocol: message");
LVIF_STATIC_ASSERT(sizeof(struct lvif_hvp_message) == 4096, "hypervisord protocol: message");

#endif
