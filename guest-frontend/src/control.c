/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's ends of the control ring pair. */
#include "control.h"

#include <librettos/frontend.h>

#define MESSAGE_WORDS (sizeof(struct lvif_message) / sizeof(uint64_t))

typedef uint64_t __attribute__((may_alias)) message_word;

void lvif_control_create(struct lvif_control *control, void *to_server, void *to_guest, uint32_t start)
{
	struct lvif_control_ring *const rings[2] = {to_server, to_guest};

	for (int i = 0; i < 2; i++) {
		rings[i]->magic = LVIF_CONTROL_MAGIC;
		rings[i]->version = LVIF_CONTROL_VERSION;
		rings[i]->head = start;
		rings[i]->tail = start;
	}
	control->to_server = to_server;
	control->to_guest = to_guest;
	control->head = start;
	control->tail = start;
	control->tail_seen = start;
	control->head_seen = start;
}

int lvif_control_send(struct lvif_control *control, struct lvif_message const *message)
{
	struct lvif_control_ring *const ring = control->to_server;

	if (control->head - control->tail_seen == LVIF_CONTROL_SLOTS) {
		uint32_t const tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE); /* TAIL */
		if (tail - control->tail_seen > control->head - control->tail_seen)
			return LVIF_EPROTO;
		control->tail_seen = tail;
		if (control->head - tail == LVIF_CONTROL_SLOTS)
			return LVIF_EAGAIN;
	}
	ring->slots[control->head % LVIF_CONTROL_SLOTS] = *message;
	control->head++;
	__atomic_store_n(&ring->head, control->head, __ATOMIC_RELEASE); /* HEAD */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);                        /* SLEEP */
	return __atomic_load_n(&ring->consumer_sleeps, __ATOMIC_RELAXED) != 0 ? 1 : 0;
}

static int look_at_head(struct lvif_control *control)
{
	uint32_t const head = __atomic_load_n(&control->to_guest->head, __ATOMIC_ACQUIRE); /* HEAD */

	if (head - control->tail > LVIF_CONTROL_SLOTS || head - control->tail < control->head_seen - control->tail)
		return LVIF_EPROTO;
	control->head_seen = head;
	return 0;
}

int lvif_control_receive(struct lvif_control *control, struct lvif_message *message)
{
	uint64_t words[MESSAGE_WORDS];
	message_word const *slot;

	if (control->tail == control->head_seen) {
		if (look_at_head(control) != 0)
			return LVIF_EPROTO;
		if (control->tail == control->head_seen)
			return 0;
	}
	slot = (message_word const *)(void const *)&control->to_guest->slots[control->tail % LVIF_CONTROL_SLOTS];
	for (size_t i = 0; i < MESSAGE_WORDS; i++)
		words[i] = __atomic_load_n(&slot[i], __ATOMIC_RELAXED);
	__builtin_memcpy(message, words, sizeof(*message));
	control->tail++;
	return 1;
}

bool lvif_control_release(struct lvif_control *control)
{
	struct lvif_control_ring *const ring = control->to_guest;

	__atomic_store_n(&ring->tail, control->tail, __ATOMIC_RELEASE); /* TAIL */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);                        /* WAIT */
	return __atomic_load_n(&ring->producer_waits, __ATOMIC_RELAXED) != 0;
}

bool lvif_control_sleep(struct lvif_control *control)
{
	__atomic_store_n(&control->to_guest->consumer_sleeps, 1, __ATOMIC_RELAXED); /* SLEEP */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (look_at_head(control) == 0 && control->tail == control->head_seen)
		return true;
	lvif_control_wake(control);
	return false;
}

void lvif_control_wake(struct lvif_control *control)
{
	__atomic_store_n(&control->to_guest->consumer_sleeps, 0, __ATOMIC_RELAXED); /* SLEEP, taken back */
}
