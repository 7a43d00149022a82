/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user half of the interface: a guest's network device for a rumprun unikernel.
 *
 * Theory of operation
 *
 * Two threads. The control thread follows the device's state machine (lvif_poll) and may block in xenbus; the receive thread moves
 * bursts of frames from the ring into the kernel, and sleeps on the queue pair's event. The kernel's own threads send: a copy into the
 * ring, which never blocks and needs no lock, because threads are cooperative and one frame is written between two places where a
 * thread may block. A full ring drops the frame, and counts it: socket locks are held there. What the kernel sends while the receive
 * thread delivers a burst, acknowledgements mostly, is published at its end.
 *
 * A frame is delivered where it lies in the ring. The kernel copies it, and may let other threads run meanwhile, also the
 * control thread: `quiesce` waits until a burst has ended.
 *
 * A server that crashes is not seen here: rings stay, the next one goes on.
 */
#ifndef LIBRETTOS_RUMPRUN_INTERFACE_H
#define LIBRETTOS_RUMPRUN_INTERFACE_H

#include "environment.h"
#include "port_requests.h"

struct virtif_sc;

struct virtif_user {
	struct lvif_minios minios;
	struct lvif_environment environment;
	struct lvif_device *device;
	struct virtif_sc *kernel_half;
	struct bmk_thread *control_thread;
	struct bmk_thread *receive_thread;
	struct lvif_sleeper control;
	struct lvif_sleeper receiver;
	struct lvif_sleeper creator; /* who waits in create */
	struct lvif_port_requests ports;

	struct lvif_offer offer; /* of the present connection, or the last one */
	uint64_t connections;    /* the one that the kernel was told of */
	bool sending;            /* tx calls may be made */
	bool receiving;          /* rx calls may be made */
	bool in_burst;           /* a frame of the ring's is in the kernel's hands */
	bool was_connected;
	bool link_up;
	bool dying;
	uint64_t dropped;
};

/* NULL while there is none. */
struct virtif_user *lvif_the_interface(void);

#endif
