/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control ring pair: small messages between a guest and the server.
 *
 * Two single-producer, single-consumer rings of one page each, in the guest's memory: `to_server` and
 * `to_guest`. A page is a header of four cache lines, 32 slots of 64 bytes and zeros. Head and tail count
 * messages, wrap at 2^32, and follow the rules of frame_ring.h (private copies, one read per burst, checked:
 * head - tail <= 32); message n is in slot n % 32. Both rings share one event channel.
 *
 * A request carries an id chosen by its sender, the reply (LVIF_MSG_REPLY) the same id and a status: 0 or a
 * negative Linux errno. A message of unknown type that asks for a reply is answered with -EOPNOTSUPP;
 * any other unknown message is ignored, so that versions can differ.
 *
 * A full ring is never waited for: the server keeps no queue for a guest. It sets again what did not fit
 * (link, MTU: state, not events) when there is room.
 */
#ifndef LIBRETTOS_CONTROL_RING_H
#define LIBRETTOS_CONTROL_RING_H

#include <stddef.h>
#include <stdint.h>

#include <librettos/static_assert.h>

#define LVIF_CONTROL_MAGIC 0x4c525443u /* "CTRL", little endian */
#define LVIF_CONTROL_VERSION 1u
#define LVIF_CONTROL_SLOTS 32u

enum lvif_message_type {
	LVIF_MSG_HELLO = 1,       /* guest -> server, after every (re)connect: version of the frontend, wants a reply */
	LVIF_MSG_REPLY = 2,       /* both ways */
	LVIF_MSG_LINK = 3,        /* server -> guest: state of the wire, after HELLO and at each change */
	LVIF_MSG_MTU = 4,         /* server -> guest: after HELLO and at each change */
	LVIF_MSG_DETACHED = 5,    /* server -> guest: the last message, with the reason */
	LVIF_MSG_PORT_BIND = 16,  /* guest -> server, wants a reply; only where the server is the portmap's  */
	LVIF_MSG_PORT_LEASE = 17, /* authority (handshake.h, "port-authority" = "server"); elsewhere the     */
	LVIF_MSG_PORT_RELEASE = 18, /* answer is -EOPNOTSUPP: ask the hypervisor                                */
	LVIF_MSG_SWITCH_PREPARE =
	        32, /* server -> guest: the switch between the rings and a VF; each wants a reply, which */
	LVIF_MSG_SWITCH_COMMIT =
	        33, /* comes when it is done; librettos/vf_switch.h says what each means                  */
	LVIF_MSG_SWITCH_BACK = 34,
	LVIF_MSG_SWITCH_RELEASE = 35,
	LVIF_MSG_VF_LOST = 36, /* guest -> server: its VF is gone, it uses the rings; wants no reply */
	                       /* .. 47 are set aside for the switch */
};

/* lvif_message.flags */
#define LVIF_MSG_WANTS_REPLY 0x0001u

/* u.hello.flags */
#define LVIF_HELLO_CAN_SWITCH 0x0001u /* the guest knows what to do with a VF */
#define LVIF_HELLO_DIRECT 0x0002u     /* it sends through one now */

struct lvif_message {
	uint16_t type;  /* enum lvif_message_type */
	uint16_t flags; /* LVIF_MSG_* */
	uint32_t id;    /* of a request, repeated in its reply */
	int32_t status; /* of a reply: 0 or -errno */
	uint32_t reserved;
	union {
		struct {
			uint32_t version; /* LVIF_CONTROL_VERSION */
			uint32_t flags;   /* LVIF_HELLO_* */
			char program[40]; /* name and version, NUL-terminated; printed by librettosctl */
		} hello;
		struct {
			uint32_t up; /* 0 or 1 */
			uint32_t speed_mbps;
		} link;
		struct {
			uint32_t mtu_bytes; /* IP packet, without Ethernet header */
		} mtu;
		struct {
			char reason[48]; /* NUL-terminated, one of the detach reasons that librettosctl prints */
		} detached;
		struct {
			uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
			uint8_t reserved;
			uint16_t port;  /* host order; 0 in a bind: any */
			uint16_t count; /* of a lease; 1 else */
		} port;                 /* the reply carries the granted port and count */
		struct {
			uint32_t serial; /* of the switch, repeated in the reply and in VF_LOST */
			uint16_t vlan;   /* of PREPARE: tag that the guest itself puts; NICs do that: 0 */
			uint8_t mac[6];  /* of PREPARE: the VF's, which is the guest's own */
		} vf;
		uint8_t bytes[48];
	} u;
};

struct lvif_control_ring {
	/* line 0: writer guest, before sharing */
	uint32_t magic;
	uint32_t version;
	uint8_t reserved0[56];
	/* line 1: writer producer */
	uint32_t head;           /* atomic */
	uint32_t producer_waits; /* atomic */
	uint8_t reserved1[56];
	/* line 2: writer consumer */
	uint32_t tail;            /* atomic */
	uint32_t consumer_sleeps; /* atomic */
	uint8_t reserved2[56];
	/* line 3: as in the frame ring; the guest goes by the one of to_server */
	uint8_t server_alive; /* atomic */
	uint8_t reserved3[63];
	struct lvif_message slots[LVIF_CONTROL_SLOTS];
	uint8_t reserved4[4096 - 256 - 64 * LVIF_CONTROL_SLOTS];
};

LVIF_STATIC_ASSERT(sizeof(struct lvif_message) == 64, "message is one cache line");
LVIF_STATIC_ASSERT(offsetof(struct lvif_message, u) == 16, "message");
LVIF_STATIC_ASSERT(sizeof(struct lvif_control_ring) == 4096, "control ring is one page");
LVIF_STATIC_ASSERT(offsetof(struct lvif_control_ring, head) == 64, "line 1");
LVIF_STATIC_ASSERT(offsetof(struct lvif_control_ring, tail) == 128, "line 2");
LVIF_STATIC_ASSERT(offsetof(struct lvif_control_ring, server_alive) == 192, "line 3");
LVIF_STATIC_ASSERT(offsetof(struct lvif_control_ring, slots) == 256, "slots");

#endif
