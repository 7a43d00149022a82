/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame ring: the one way in which a frame crosses a domain border.
 *
 * A frame ring is a single-producer, single-consumer ring of bytes that holds
 * whole frames, each contiguous and all in order. Its memory belongs to the
 * guest, which shares it with the server; so it outlives the server. A queue
 * pair is two of them, named from the guest's point of view: `tx` (the guest
 * produces, the server consumes) and `rx` (the server produces).
 *
 *   page 0    line 0   written once by the guest, before it shares the ring
 *             line 1   written by the producer, read by the consumer
 *             line 2   written by the consumer, read by the producer
 *             line 3   written by the server and, for a dead server, its life
 *                      sign by the hypervisor; read by the guest
 *   page 1..  `capacity` bytes of data
 *
 *   data      | rec | frame .... pad16 | rec | frame | ... | PAD rec ~~~~~~ |
 *             ^                                             ^ fills the end,
 *             every record starts at a multiple of 16         where a frame
 *                                                             would wrap
 *
 * Positions
 *   `head` counts the bytes ever produced, `tail` the bytes ever consumed; both
 *   are multiples of 16, only ever grow, and wrap at 2^64. A position's place in
 *   the data is position & (capacity - 1).  0 <= head - tail <= capacity holds at
 *   every moment for an honest peer; the other side checks it.
 *
 * Trust
 *   Each side relies only on its private copy of its own position and publishes it.
 *   It reads the peer's position once per burst (acquire) and checks it. The
 *   consumer copies a record header once, checks the copy against what was
 *   published, and only then looks at the frame; the peer may change the
 *   frame's bytes at any time, so whoever decides by them decides on a copy.
 *   A side that finds the ring broken stops using it; the server detaches the guest.
 *
 * What is written where
 *   Producer: the record, the frame, zeros up to the next multiple of 16.
 *   Nothing else. The bytes of a PAD record after its header are not written.
 *   `reserved` fields are zero when written and ignored when read.
 *
 * Waiting (modelled in tests/model/ring_sleep.pml)
 *   consumer: consumer_sleeps = 1; full fence; read head; if it moved: consumer_sleeps = 0, go on;
 *             else wait for the event
 *   producer: head = new (release); full fence; read consumer_sleeps; if 1: notify, once per burst
 *   The other direction is the same with producer_waits, tail and space:
 *   producer: producer_waits = 1; full fence; read tail; if there is room: producer_waits = 0, go on;
 *             else wait for the event
 *   consumer: tail = new (release); full fence; read producer_waits; if 1: notify, once per burst
 *   Each flag is set and cleared by its owner alone. A notification may be spurious.
 *
 * The mark, of an rx ring, for a guest that is moved to a VF (vf_switch.h)
 *   server: what its port had received for the guest is in the ring; head = new (release);
 *           mark = serial of the switch (release); notify, whether the guest sleeps or not
 *   guest:  read mark (acquire); the switch that it was prepared for: once it then finds the ring empty it has all
 *           that came before what the VF received
 *   The next server begins with no mark. One without a mark says the same by SWITCH_COMMIT.
 *
 * Recovery
 *   A new server reads its own positions back from the ring (head of rx, tail of tx), checks them
 *   like any word of the guest's, and goes on. Frames not yet consumed are still there. Frames consumed
 *   but not yet published as such are seen twice, which TCP/IP tolerates.
 */
#ifndef LIBRETTOS_FRAME_RING_H
#define LIBRETTOS_FRAME_RING_H

#include <stddef.h>
#include <stdint.h>

#include <librettos/static_assert.h>

#define LVIF_RING_MAGIC 0x474e5246u /* "FRNG", little endian */
#define LVIF_RING_VERSION 1u

#define LVIF_PAGE_BYTES 4096u
#define LVIF_RING_MIN_CAPACITY (64u * 1024u)
#define LVIF_RING_MAX_CAPACITY (16u * 1024u * 1024u)
#define LVIF_RING_DEFAULT_CAPACITY (256u * 1024u)
#define LVIF_RECORD_ALIGN 16u

/* Ethernet header to the last byte of payload, no FCS. A ring takes frames of up to
 * min(LVIF_MAX_FRAME_BYTES, capacity / 2 - 16), so that a frame fits wherever head stands. */
#define LVIF_MIN_FRAME_BYTES 14u
#define LVIF_MAX_FRAME_BYTES 65535u

/* lvif_record.flags */
#define LVIF_PAD 0x0001u          /* no frame: skip 16 + length bytes; all else is zero */
#define LVIF_CSUM_PARTIAL 0x0002u /* checksum to be completed from csum_start, stored at csum_start + csum_offset */
#define LVIF_CSUM_OK 0x0004u      /* the producer vouches for the transport checksum */
#define LVIF_GSO_TCP4 0x0008u     /* to be cut into segments of gso_size bytes of TCP payload; with CSUM_PARTIAL */
#define LVIF_GSO_TCP6 0x0010u     /* the same over IPv6 */
#define LVIF_KNOWN_FLAGS 0x001fu

/* Feature bits, in lvif_ring_header.features and as a decimal number in the store (handshake.h).
 * In the offer: what the server can take and give. In the ring header: what the guest chose of it. A
 * producer sends no flag that was not chosen. */
#define LVIF_F_TX_CSUM 0x0001u /* guest may send CSUM_PARTIAL */
#define LVIF_F_TX_TSO4 0x0002u /* guest may send GSO_TCP4 */
#define LVIF_F_TX_TSO6 0x0004u /* guest may send GSO_TCP6 */
#define LVIF_F_RX_CSUM 0x0008u /* guest accepts CSUM_PARTIAL and CSUM_OK */
#define LVIF_F_RX_TSO4 0x0010u /* guest accepts GSO_TCP4 */
#define LVIF_F_RX_TSO6 0x0020u /* guest accepts GSO_TCP6 */
#define LVIF_F_ALL 0x003fu

/* Page 0 of a ring. Natural alignment; shared by a C11 and a C++20 side, which access the fields marked
 * atomic with __atomic built-ins or std::atomic_ref. */
struct lvif_ring_header {
	/* line 0: writer guest, before sharing; reader server, once, at attach */
	uint32_t magic;    /* LVIF_RING_MAGIC */
	uint32_t version;  /* LVIF_RING_VERSION */
	uint32_t capacity; /* bytes of data, a power of two */
	uint32_t features; /* LVIF_F_*, a subset of the offer */
	uint8_t reserved0[48];
	/* line 1: writer producer, reader consumer */
	uint64_t head;           /* atomic */
	uint32_t producer_waits; /* atomic, 0 or 1 */
	uint8_t reserved1[52];
	/* line 2: writer consumer, reader producer */
	uint64_t tail;            /* atomic */
	uint32_t consumer_sleeps; /* atomic, 0 or 1 */
	uint8_t reserved2[52];
	/* line 3: writer server; reader guest */
	uint8_t server_alive; /* atomic; 1, and 0 by the hypervisor when the server's mapping is gone */
	uint8_t reserved3[3];
	uint32_t mark; /* atomic; of an rx ring: serial of a switch, 0: none */
	uint8_t reserved4[56];
	uint8_t reserved5[LVIF_PAGE_BYTES - 256];
};

struct lvif_record {
	uint32_t length;        /* bytes of frame that follow; of a PAD: bytes to skip after this header */
	uint16_t flags;         /* LVIF_PAD .. */
	uint16_t csum_start;    /* offset in the frame, with CSUM_PARTIAL */
	uint16_t csum_offset;   /* from csum_start, with CSUM_PARTIAL */
	uint16_t gso_size;      /* bytes of TCP payload per segment, with GSO_* */
	uint16_t header_length; /* bytes up to the end of the TCP header, with GSO_* */
	uint16_t reserved;
};

LVIF_STATIC_ASSERT(sizeof(struct lvif_ring_header) == LVIF_PAGE_BYTES, "ring header is one page");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, magic) == 0, "line 0");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, features) == 12, "line 0");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, head) == 64, "line 1");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, producer_waits) == 72, "line 1");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, tail) == 128, "line 2");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, consumer_sleeps) == 136, "line 2");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, server_alive) == 192, "line 3");
LVIF_STATIC_ASSERT(offsetof(struct lvif_ring_header, mark) == 196, "line 3");
LVIF_STATIC_ASSERT(sizeof(struct lvif_record) == 16, "record header is 16 bytes");
LVIF_STATIC_ASSERT(offsetof(struct lvif_record, flags) == 4, "record");
LVIF_STATIC_ASSERT(offsetof(struct lvif_record, header_length) == 12, "record");

/* Bytes that a frame of `length` bytes takes in a ring, record header and padding included. */
static inline uint64_t lvif_record_bytes(uint32_t length)
{
	return (uint64_t)sizeof(struct lvif_record) +
	       (((uint64_t)length + LVIF_RECORD_ALIGN - 1u) & ~(uint64_t)(LVIF_RECORD_ALIGN - 1u));
}

/* The longest frame that a ring of `capacity` bytes takes. */
static inline uint32_t lvif_ring_max_frame(uint32_t capacity)
{
	uint32_t const half = capacity / 2u - (uint32_t)sizeof(struct lvif_record);
	return half < LVIF_MAX_FRAME_BYTES ? half : LVIF_MAX_FRAME_BYTES;
}

#endif
