/* SPDX-License-Identifier: BSD-2-Clause */
/* Receiving: the consumer's end of a frame ring, and the lvif_rx_ functions on top of it. */
#include "device.h"

/* A record header is taken in two loads: what is checked is what is used, whatever the peer writes meanwhile. */
typedef uint64_t __attribute__((may_alias)) record_word;

void lvif_consumer_start(struct lvif_consumer *consumer, struct lvif_ring_header *ring, uint32_t capacity,
                         uint16_t allowed_flags, uint64_t start)
{
	consumer->ring = ring;
	consumer->data = (uint8_t const *)ring + sizeof(*ring);
	consumer->tail = start;
	consumer->published = start;
	consumer->head_seen = start;
	consumer->peeked_bytes = 0;
	consumer->peeked_length = 0;
	consumer->capacity = capacity;
	consumer->max_frame = lvif_ring_max_frame(capacity);
	consumer->allowed_flags = allowed_flags;
	consumer->sleeps = false;
	__atomic_store_n(&consumer->broken, false, __ATOMIC_RELAXED);
}

static int broke(struct lvif_consumer *consumer)
{
	consumer->peeked_bytes = 0;
	__atomic_store_n(&consumer->broken, true, __ATOMIC_RELAXED);
	lvif_count(&consumer->breaks, 1);
	return LVIF_EPROTO;
}

/* Looks at the producer's position. It may stand anywhere from where it was seen to a full ring beyond what we
 * published; space that is released but not published is not the producer's yet. */
static int look_at_head(struct lvif_consumer *consumer)
{
	uint64_t const head = __atomic_load_n(&consumer->ring->head, __ATOMIC_ACQUIRE); /* HEAD */
	uint64_t const seen = consumer->head_seen - consumer->published;
	uint64_t const filled = head - consumer->published;

	if (head % LVIF_RECORD_ALIGN != 0 || filled > consumer->capacity || filled < seen)
		return broke(consumer);
	consumer->head_seen = head;
	return 0;
}

static struct lvif_record read_record(struct lvif_consumer const *consumer, uint64_t place)
{
	record_word const *from = (record_word const *)(void const *)(consumer->data + place);
	uint64_t const words[2] = {__atomic_load_n(&from[0], __ATOMIC_RELAXED),
	                           __atomic_load_n(&from[1], __ATOMIC_RELAXED)};
	struct lvif_record record;

	__builtin_memcpy(&record, words, sizeof(record));
	return record;
}

/* The private, checked copy of what a record says beside its length. */
static bool take_offload(struct lvif_consumer const *consumer, struct lvif_record const *record,
                         struct lvif_offload *offload)
{
	struct lvif_offload const none = {0};

	*offload = none;
	offload->flags = record->flags;
	if (record->flags & LVIF_CSUM_PARTIAL) {
		offload->csum_start = record->csum_start;
		offload->csum_offset = record->csum_offset;
	}
	if (record->flags & (LVIF_GSO_TCP4 | LVIF_GSO_TCP6)) {
		offload->gso_size = record->gso_size;
		offload->header_length = record->header_length;
	}
	return (record->flags & ~consumer->allowed_flags) == 0 && lvif_offload_fits(offload, record->length);
}

int lvif_consumer_peek(struct lvif_consumer *consumer, struct lvif_frame *frame)
{
	/* A PAD is followed by a frame at place 0, where no second PAD can be: two turns at most. */
	for (int turn = 0; turn < 2; turn++) {
		uint64_t const place = consumer->tail & (consumer->capacity - 1u);
		uint64_t const to_end = consumer->capacity - place;
		struct lvif_record record;
		uint64_t taken;

		if (consumer->broken)
			return LVIF_EPROTO;
		if (consumer->tail == consumer->head_seen) {
			if (look_at_head(consumer) != 0)
				return LVIF_EPROTO;
			if (consumer->tail == consumer->head_seen)
				return 0;
		}
		record = read_record(consumer, place);
		taken = lvif_record_bytes(record.length);
		if (taken > to_end || taken > consumer->head_seen - consumer->tail)
			return broke(consumer);
		if (record.flags & LVIF_PAD) {
			if (place == 0 || taken != to_end || record.length % LVIF_RECORD_ALIGN != 0 ||
			    record.flags != LVIF_PAD)
				return broke(consumer);
			consumer->tail += taken;
			continue;
		}
		if (record.length < LVIF_MIN_FRAME_BYTES || record.length > consumer->max_frame ||
		    !take_offload(consumer, &record, &frame->offload))
			return broke(consumer);
		frame->bytes = consumer->data + place + sizeof(record);
		frame->length = record.length;
		consumer->peeked_bytes = taken;
		consumer->peeked_length = record.length;
		return 1;
	}
	return 0;
}

void lvif_consumer_release(struct lvif_consumer *consumer)
{
	if (consumer->peeked_bytes == 0)
		return;
	consumer->tail += consumer->peeked_bytes;
	consumer->peeked_bytes = 0;
	lvif_count(&consumer->frames, 1);
	lvif_count(&consumer->bytes, consumer->peeked_length);
}

bool lvif_consumer_publish(struct lvif_consumer *consumer)
{
	if (consumer->tail == consumer->published || consumer->broken)
		return false;
	consumer->published = consumer->tail;
	__atomic_store_n(&consumer->ring->tail, consumer->tail, __ATOMIC_RELEASE); /* TAIL */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);                                   /* WAIT */
	return __atomic_load_n(&consumer->ring->producer_waits, __ATOMIC_RELAXED) != 0;
}

bool lvif_consumer_sleep(struct lvif_consumer *consumer)
{
	if (consumer->broken || consumer->tail != consumer->head_seen)
		return false;
	consumer->sleeps = true;
	__atomic_store_n(&consumer->ring->consumer_sleeps, 1, __ATOMIC_RELAXED); /* SLEEP */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (look_at_head(consumer) == 0 && consumer->tail == consumer->head_seen)
		return true;
	lvif_consumer_wake(consumer);
	return false;
}

void lvif_consumer_wake(struct lvif_consumer *consumer)
{
	if (!consumer->sleeps)
		return;
	consumer->sleeps = false;
	__atomic_store_n(&consumer->ring->consumer_sleeps, 0, __ATOMIC_RELAXED); /* SLEEP, taken back */
}

/* ---- the device's functions ---- */

int lvif_rx_peek(struct lvif_device *device, uint16_t queue, struct lvif_frame *frame)
{
	if (!lvif_queue_live(device, queue))
		return LVIF_ENOTCONN;
	return lvif_consumer_peek(&device->queues[queue].rx, frame);
}

void lvif_rx_release(struct lvif_device *device, uint16_t queue)
{
	if (lvif_queue_live(device, queue))
		lvif_consumer_release(&device->queues[queue].rx);
}

void lvif_rx_publish(struct lvif_device *device, uint16_t queue)
{
	if (!lvif_queue_live(device, queue))
		return;
	if (lvif_consumer_publish(&device->queues[queue].rx))
		lvif_queue_notify(device, &device->queues[queue], &device->queues[queue].rx_notifications);
}

bool lvif_rx_sleep(struct lvif_device *device, uint16_t queue)
{
	lvif_rx_publish(device, queue);
	return lvif_queue_live(device, queue) && lvif_consumer_sleep(&device->queues[queue].rx);
}

void lvif_rx_wake(struct lvif_device *device, uint16_t queue)
{
	if (lvif_queue_live(device, queue))
		lvif_consumer_wake(&device->queues[queue].rx);
}
