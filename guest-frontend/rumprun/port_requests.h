/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port operations on their way to the server, where that is the portmap's authority: who asks waits, the control thread sends and
 * receives. An answer that comes when nobody waits any more is a port that nobody will use: it is given back.
 */
#ifndef LIBRETTOS_RUMPRUN_PORT_REQUESTS_H
#define LIBRETTOS_RUMPRUN_PORT_REQUESTS_H

#include <librettos/frontend.h>

#include "sleeper.h"

#define LVIF_PORT_REQUESTS_WAITING 4u

enum lvif_port_request_state {
	LVIF_REQUEST_FREE = 0,
	LVIF_REQUEST_NEW, /* to be sent */
	LVIF_REQUEST_SENT,
	LVIF_REQUEST_ANSWERED, /* for who asked */
};

struct lvif_waiting_request {
	enum lvif_port_request_state state;
	bool abandoned;
	enum lvif_message_type operation;
	uint8_t protocol;
	uint16_t port;
	uint16_t count;
	uint32_t ticket;
	int status;
	struct lvif_sleeper asker;
};

struct lvif_port_requests {
	struct lvif_waiting_request request[LVIF_PORT_REQUESTS_WAITING];
};

/* Outside of the rump kernel. 0 with the port in *port, or an error as librettos/portmap.h says; LVIF_EAGAIN: no answer until the
 * deadline. `control` is woken to send. */
int lvif_port_requests_ask(struct lvif_port_requests *requests, struct lvif_sleeper *control,
                           enum lvif_message_type operation, uint8_t protocol, uint16_t *port, uint16_t count,
                           uint64_t deadline_us);
/* The control thread, after lvif_poll(). */
void lvif_port_requests_pump(struct lvif_port_requests *requests, struct lvif_device *device);

#endif
