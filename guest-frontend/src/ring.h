/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ends of a frame ring (frame_ring.h), without a device around them.
 *
 * Each end is used by one thread at a time. Positions are private copies; the peer's position is read only when the
 * last copy does not suffice. A word of the peer's that breaks the rules makes the end `broken` for good: every later
 * call says LVIF_EPROTO and touches the ring no more.
 *
 * Atomics, by label; both ends name each other:
 *   HEAD   producer's release store of head          consumer's acquire load
 *   TAIL   consumer's release store of tail          producer's acquire load
 *   SLEEP  consumer: consumer_sleeps, fence, head    producer: head, fence, consumer_sleeps
 *   WAIT   producer: producer_waits, fence, tail     consumer: tail, fence, producer_waits
 */
#ifndef LVIF_RING_H
#define LVIF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <librettos/frame_ring.h>
#include <librettos/frontend.h>

#define LVIF_CACHE_LINE 64

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

struct lvif_producer {
	struct lvif_ring_header *ring;
	uint8_t *data;
	uint64_t head;            /* private; ahead of `published` by what is committed */
	uint64_t published;       /* what the shared head says */
	uint64_t tail_seen;       /* consumer's position when last looked at, checked */
	uint64_t reserved_at;     /* where the reserved record starts: head, or past a PAD */
	uint32_t reserved_length; /* 0: nothing is reserved */
	uint32_t capacity;
	uint32_t max_frame;
	uint16_t allowed_flags;
	bool waits;
	bool broken; /* atomic; reader: the control thread */
	/* counters, for the life of the device; atomic, one writer */
	uint64_t frames, bytes, full, breaks;
};

struct lvif_consumer {
	struct lvif_ring_header *ring;
	uint8_t const *data;
	uint64_t tail;         /* private; ahead of `published` by what is released */
	uint64_t published;    /* what the shared tail says */
	uint64_t head_seen;    /* producer's position when last looked at, checked */
	uint64_t peeked_bytes; /* of the record that peek showed, 0: none */
	uint32_t peeked_length;
	uint32_t capacity;
	uint32_t max_frame;
	uint16_t allowed_flags;
	bool sleeps;
	bool broken; /* atomic; reader: the control thread */
	/* counters, for the life of the device; atomic, one writer */
	uint64_t frames, bytes, breaks;
};

/* Writes lines 0 to 2 of a ring that nobody else uses yet. Positions start at `start`, a multiple of 16; 0 but in
 * tests. */
void lvif_ring_create(struct lvif_ring_header *ring, uint32_t capacity, uint32_t features, uint64_t start);
static inline size_t lvif_ring_bytes(uint32_t capacity)
{
	return sizeof(struct lvif_ring_header) + (size_t)capacity;
}

/* Leave the counters as they are. */
void lvif_producer_start(struct lvif_producer *producer, struct lvif_ring_header *ring, uint32_t capacity,
                         uint16_t allowed_flags, uint64_t start);
void lvif_consumer_start(struct lvif_consumer *consumer, struct lvif_ring_header *ring, uint32_t capacity,
                         uint16_t allowed_flags, uint64_t start);

/* As the lvif_tx_ and lvif_rx_ functions of frontend.h. */
int lvif_producer_reserve(struct lvif_producer *producer, uint32_t length, uint8_t **frame);
/* LVIF_EINVAL: more than was reserved, or an offload that does not fit the frame or was not agreed; the reservation
 * is given up. */
int lvif_producer_commit(struct lvif_producer *producer, uint32_t length, struct lvif_offload const *offload);
bool lvif_producer_publish(struct lvif_producer *producer); /* true: notify the consumer */
bool lvif_producer_wait(struct lvif_producer *producer, uint32_t length);

int lvif_consumer_peek(struct lvif_consumer *consumer, struct lvif_frame *frame);
void lvif_consumer_release(struct lvif_consumer *consumer);
bool lvif_consumer_publish(struct lvif_consumer *consumer); /* true: notify the producer */
bool lvif_consumer_sleep(struct lvif_consumer *consumer);   /* publish first */
void lvif_consumer_wake(struct lvif_consumer *consumer);

/* Whether the fields that `offload->flags` asks for fit a frame of `length` bytes. */
bool lvif_offload_fits(struct lvif_offload const *offload, uint32_t length);
/* Which record flags the agreed features allow to the guest as producer (tx) and as consumer (rx). */
uint16_t lvif_tx_flags(uint32_t features);
uint16_t lvif_rx_flags(uint32_t features);

/* A counter has one writer and any number of readers. */
static inline void lvif_count(uint64_t *counter, uint64_t amount)
{
	__atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
