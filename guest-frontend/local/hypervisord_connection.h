/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's connection as the files of the client see it. */
#ifndef LIBRETTOS_HYPERVISORD_CONNECTION_H
#define LIBRETTOS_HYPERVISORD_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "hypervisord_client.h"
#include "hypervisord_protocol.h"

/* Descriptors of one end of a channel, -1 when there is none. */
struct lvif_hv_port {
	_Atomic int receive_fd;
	_Atomic int notify_fd;
};

#define LVIF_HV_PORTS_PER_CHUNK 256u
#define LVIF_HV_PORT_CHUNKS 256u

/* Chunks are only ever added, so that notify and clear need no lock. */
struct lvif_hv_port_table {
	_Atomic(struct lvif_hv_port *) chunk[LVIF_HV_PORT_CHUNKS];
};

/* Memory that lvif_hv_pages_allocate gave out and its memfd. */
struct lvif_hv_pages {
	struct lvif_hv_pages *next;
	void *address;
	size_t bytes;
	int fd;
};

struct lvif_hv {
	pthread_mutex_t mutex; /* one request at a time; guards everything but `ports` and `events` */
	int socket;
	int events;
	bool dead;
	enum lvif_hv_role role;
	uint16_t self;
	uint32_t sequence;
	struct lvif_hvp_message message; /* request, then reply */
	struct lvif_hv_pages *pages;
	struct lvif_portmap const *portmap;
	struct lvif_hv_port_table ports;
};

/* A request with what a request may carry. `fds` and `fd_count`: descriptors that the reply must bring. */
struct lvif_hv_request {
	enum lvif_hvp_operation operation;
	uint64_t argument[LVIF_HVP_ARGUMENTS];
	char const *text[2]; /* NULL: none */
	int send_fd;         /* -1: none */
	int *fds;
	int fd_count;
};

/* Locks the connection; ends with lvif_hv_end(). In between hv->message is the caller's. */
void lvif_hv_begin(struct lvif_hv *hv);
void lvif_hv_end(struct lvif_hv *hv);
/* Sends and waits, between begin and end. Returns the reply's status; the reply is in hv->message. */
int lvif_hv_exchange(struct lvif_hv *hv, struct lvif_hv_request const *request);
/* begin, exchange, copy of the results (NULL: not wanted), end. */
int lvif_hv_call(struct lvif_hv *hv, struct lvif_hv_request const *request, uint64_t results[LVIF_HVP_ARGUMENTS]);

void lvif_hv_ports_close(struct lvif_hv *hv);

#endif
