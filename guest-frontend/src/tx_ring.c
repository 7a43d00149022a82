/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending: the producer's end of a frame ring, and the lvif_tx_ functions on top of it. */
#include "device.h"

void lvif_ring_create(struct lvif_ring_header *ring, uint32_t capacity, uint32_t features, uint64_t start)
{
	ring->magic = LVIF_RING_MAGIC;
	ring->version = LVIF_RING_VERSION;
	ring->capacity = capacity;
	ring->features = features;
	ring->head = start;
	ring->producer_waits = 0;
	ring->tail = start;
	ring->consumer_sleeps = 0;
}

void lvif_producer_start(struct lvif_producer *producer, struct lvif_ring_header *ring, uint32_t capacity,
                         uint16_t allowed_flags, uint64_t start)
{
	producer->ring = ring;
	producer->data = (uint8_t *)ring + sizeof(*ring);
	producer->head = start;
	producer->published = start;
	producer->tail_seen = start;
	producer->reserved_length = 0;
	producer->capacity = capacity;
	producer->max_frame = lvif_ring_max_frame(capacity);
	producer->allowed_flags = allowed_flags;
	producer->waits = false;
	__atomic_store_n(&producer->broken, false, __ATOMIC_RELAXED);
}

static int broke(struct lvif_producer *producer)
{
	__atomic_store_n(&producer->broken, true, __ATOMIC_RELAXED);
	lvif_count(&producer->breaks, 1);
	return LVIF_EPROTO;
}

/* Looks at the consumer's position. It may stand anywhere from where it was seen to what is published. */
static int look_at_tail(struct lvif_producer *producer)
{
	uint64_t const tail = __atomic_load_n(&producer->ring->tail, __ATOMIC_ACQUIRE); /* TAIL */

	if (tail % LVIF_RECORD_ALIGN != 0 || tail - producer->tail_seen > producer->published - producer->tail_seen)
		return broke(producer);
	producer->tail_seen = tail;
	return 0;
}

/* Bytes from the head to where a record of `needed` bytes may start: 0, or the PAD that fills the end. */
static uint64_t pad_bytes(struct lvif_producer const *producer, uint64_t needed)
{
	uint64_t const to_end = producer->capacity - (producer->head & (producer->capacity - 1u));

	return needed > to_end ? to_end : 0;
}

static bool fits(struct lvif_producer const *producer, uint64_t bytes)
{
	return bytes <= producer->capacity - (producer->head - producer->tail_seen);
}

int lvif_producer_reserve(struct lvif_producer *producer, uint32_t length, uint8_t **frame)
{
	uint64_t const needed = lvif_record_bytes(length);
	uint64_t const pad = pad_bytes(producer, needed);

	producer->reserved_length = 0;
	if (producer->broken)
		return LVIF_EPROTO;
	if (length > producer->max_frame)
		return LVIF_EMSGSIZE;
	if (length < LVIF_MIN_FRAME_BYTES)
		return LVIF_EINVAL;
	if (!fits(producer, pad + needed)) {
		if (look_at_tail(producer) != 0)
			return LVIF_EPROTO;
		if (!fits(producer, pad + needed)) {
			lvif_count(&producer->full, 1);
			return LVIF_EAGAIN;
		}
	}
	if (producer->waits) {
		producer->waits = false;
		__atomic_store_n(&producer->ring->producer_waits, 0, __ATOMIC_RELAXED); /* WAIT, taken back */
	}
	producer->reserved_at = producer->head + pad;
	producer->reserved_length = length;
	*frame = producer->data + (producer->reserved_at & (producer->capacity - 1u)) + sizeof(struct lvif_record);
	return 0;
}

static void write_record(struct lvif_producer *producer, uint64_t position, struct lvif_record const *record)
{
	__builtin_memcpy(producer->data + (position & (producer->capacity - 1u)), record, sizeof(*record));
}

int lvif_producer_commit(struct lvif_producer *producer, uint32_t length, struct lvif_offload const *offload)
{
	uint32_t const reserved = producer->reserved_length;
	uint64_t const taken = lvif_record_bytes(length);
	struct lvif_record record = {.length = length};
	uint8_t *frame;

	producer->reserved_length = 0;
	if (length < LVIF_MIN_FRAME_BYTES || length > reserved)
		return LVIF_EINVAL;
	if (offload != NULL && offload->flags != 0) {
		/* CSUM_OK asks nothing of the server and no feature grants it to a guest. */
		record.flags = offload->flags & (uint16_t)~LVIF_CSUM_OK;
		if ((record.flags & ~producer->allowed_flags) != 0 || !lvif_offload_fits(offload, length))
			return LVIF_EINVAL;
	}
	if (record.flags & LVIF_CSUM_PARTIAL) {
		record.csum_start = offload->csum_start;
		record.csum_offset = offload->csum_offset;
	}
	if (record.flags & (LVIF_GSO_TCP4 | LVIF_GSO_TCP6)) {
		record.gso_size = offload->gso_size;
		record.header_length = offload->header_length;
	}
	if (producer->reserved_at != producer->head) {
		struct lvif_record const pad = {
		        .length = (uint32_t)(producer->reserved_at - producer->head - sizeof(struct lvif_record)),
		        .flags = LVIF_PAD,
		};
		write_record(producer, producer->head, &pad);
	}
	write_record(producer, producer->reserved_at, &record);
	frame = producer->data + (producer->reserved_at & (producer->capacity - 1u)) + sizeof(record);
	for (uint64_t i = length; i < taken - sizeof(record); i++)
		frame[i] = 0;
	producer->head = producer->reserved_at + taken;
	lvif_count(&producer->frames, 1);
	lvif_count(&producer->bytes, length);
	return 0;
}

bool lvif_producer_publish(struct lvif_producer *producer)
{
	if (producer->head == producer->published || producer->broken)
		return false;
	producer->published = producer->head;
	__atomic_store_n(&producer->ring->head, producer->head, __ATOMIC_RELEASE); /* HEAD */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);                                   /* SLEEP */
	return __atomic_load_n(&producer->ring->consumer_sleeps, __ATOMIC_RELAXED) != 0;
}

bool lvif_producer_wait(struct lvif_producer *producer, uint32_t length)
{
	uint64_t const needed = lvif_record_bytes(length);
	uint64_t const bytes = pad_bytes(producer, needed) + needed;

	if (producer->broken || length > producer->max_frame || fits(producer, bytes))
		return true;
	producer->waits = true;
	__atomic_store_n(&producer->ring->producer_waits, 1, __ATOMIC_RELAXED); /* WAIT */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (look_at_tail(producer) == 0 && !fits(producer, bytes))
		return false;
	producer->waits = false;
	__atomic_store_n(&producer->ring->producer_waits, 0, __ATOMIC_RELAXED);
	return true;
}

/* ---- the device's functions ---- */

int lvif_tx_reserve(struct lvif_device *device, uint16_t queue, uint32_t length, uint8_t **frame)
{
	if (!lvif_queue_live(device, queue))
		return LVIF_ENOTCONN;
	return lvif_producer_reserve(&device->queues[queue].tx, length, frame);
}

int lvif_tx_commit(struct lvif_device *device, uint16_t queue, uint32_t length, struct lvif_offload const *offload)
{
	if (!lvif_queue_live(device, queue))
		return LVIF_ENOTCONN;
	return lvif_producer_commit(&device->queues[queue].tx, length, offload);
}

int lvif_tx_frame(struct lvif_device *device, uint16_t queue, void const *frame, uint32_t length,
                  struct lvif_offload const *offload)
{
	uint8_t *place;
	int result = lvif_tx_reserve(device, queue, length, &place);

	if (result != 0)
		return result;
	__builtin_memcpy(place, frame, length);
	return lvif_producer_commit(&device->queues[queue].tx, length, offload);
}

void lvif_tx_publish(struct lvif_device *device, uint16_t queue)
{
	if (!lvif_queue_live(device, queue))
		return;
	if (lvif_producer_publish(&device->queues[queue].tx))
		lvif_queue_notify(device, &device->queues[queue], &device->queues[queue].tx_notifications);
}

bool lvif_tx_wait(struct lvif_device *device, uint16_t queue, uint32_t length)
{
	/* Room that only the frames committed here take away is made by publishing them. */
	lvif_tx_publish(device, queue);
	return !lvif_queue_live(device, queue) || lvif_producer_wait(&device->queues[queue].tx, length);
}

bool lvif_tx_idle(struct lvif_device *device, uint16_t queue)
{
	struct lvif_producer const *producer;

	if (!lvif_queue_live(device, queue))
		return true;
	producer = &device->queues[queue].tx;
	return __atomic_load_n(&producer->ring->tail, __ATOMIC_ACQUIRE) == producer->published; /* TAIL */
}

uint32_t lvif_tx_max(struct lvif_device const *device, uint16_t queue)
{
	return lvif_queue_live(device, queue) ? device->queues[queue].tx.max_frame : 0;
}
