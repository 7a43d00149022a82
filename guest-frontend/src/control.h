/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's ends of the control ring pair (control_ring.h). One thread. Atomics are labelled as in ring.h. */
#ifndef LVIF_CONTROL_H
#define LVIF_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <librettos/control_ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

struct lvif_control {
	struct lvif_control_ring *to_server;
	struct lvif_control_ring *to_guest;
	uint32_t head; /* messages sent */
	uint32_t tail; /* messages taken */
	uint32_t tail_seen;
	uint32_t head_seen;
};

/* Writes the headers of two zeroed pages that nobody else uses yet. Positions start at `start`; 0 but in tests. */
void lvif_control_create(struct lvif_control *control, void *to_server, void *to_guest, uint32_t start);

/* 0: sent; 1: sent, notify the server; LVIF_EAGAIN: full; LVIF_EPROTO: the server's position is impossible. */
int lvif_control_send(struct lvif_control *control, struct lvif_message const *message);
/* 1: *message is a private copy; 0: none; LVIF_EPROTO. */
int lvif_control_receive(struct lvif_control *control, struct lvif_message *message);
/* Gives back the slots of the messages received; true: notify the server. */
bool lvif_control_release(struct lvif_control *control);
/* Release first. true: nothing to receive, the event will tell. */
bool lvif_control_sleep(struct lvif_control *control);
void lvif_control_wake(struct lvif_control *control);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
