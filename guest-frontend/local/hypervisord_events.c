/* SPDX-License-Identifier: BSD-2-Clause */
/* Client of librettos-hypervisord: event channels. hypervisord_protocol.h says what they are made of. */
#define _GNU_SOURCE
#include "hypervisord_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static struct lvif_hv_port *find_port(struct lvif_hv *hv, uint32_t port)
{
	struct lvif_hv_port *chunk;

	if (port / LVIF_HV_PORTS_PER_CHUNK >= LVIF_HV_PORT_CHUNKS)
		return NULL;
	/* acquire: pairs with the release in add_chunk() */
	chunk = atomic_load_explicit(&hv->ports.chunk[port / LVIF_HV_PORTS_PER_CHUNK], memory_order_acquire);
	return chunk == NULL ? NULL : &chunk[port % LVIF_HV_PORTS_PER_CHUNK];
}

static struct lvif_hv_port *add_chunk(struct lvif_hv *hv, uint32_t port)
{
	struct lvif_hv_port *chunk;

	if (port / LVIF_HV_PORTS_PER_CHUNK >= LVIF_HV_PORT_CHUNKS)
		return NULL;
	chunk = calloc(LVIF_HV_PORTS_PER_CHUNK, sizeof(*chunk));
	if (chunk == NULL)
		return NULL;
	for (uint32_t i = 0; i < LVIF_HV_PORTS_PER_CHUNK; i++) {
		atomic_init(&chunk[i].receive_fd, -1);
		atomic_init(&chunk[i].notify_fd, -1);
	}
	atomic_store_explicit(&hv->ports.chunk[port / LVIF_HV_PORTS_PER_CHUNK], chunk, memory_order_release);
	return &chunk[port % LVIF_HV_PORTS_PER_CHUNK];
}

/* A request whose reply brings a new port and its two descriptors. */
static int open_port(struct lvif_hv *hv, struct lvif_hv_request request, uint32_t *port)
{
	struct lvif_hv_port *entry = NULL;
	int fds[2] = {-1, -1};
	int status;

	request.send_fd = -1;
	request.fds = fds;
	request.fd_count = 2;
	lvif_hv_begin(hv);
	status = lvif_hv_exchange(hv, &request);
	if (status == 0) {
		*port = (uint32_t)hv->message.header.argument[0];
		entry = find_port(hv, *port);
		if (entry == NULL)
			entry = add_chunk(hv, *port);
		if (entry != NULL) {
			atomic_store_explicit(&entry->receive_fd, fds[0], memory_order_relaxed);
			atomic_store_explicit(&entry->notify_fd, fds[1], memory_order_relaxed);
		}
	}
	lvif_hv_end(hv);
	if (status != 0 || entry != NULL)
		return status;
	close(fds[0]);
	close(fds[1]);
	lvif_hv_event_free(hv, *port);
	return -ENOMEM;
}

int lvif_hv_event_allocate(struct lvif_hv *hv, uint16_t domain, uint32_t *port)
{
	return open_port(hv, (struct lvif_hv_request){.operation = LVIF_HVP_ALLOCATE, .argument = {domain}}, port);
}

int lvif_hv_event_bind(struct lvif_hv *hv, uint16_t domain, uint32_t port, uint32_t *local_port)
{
	return open_port(hv, (struct lvif_hv_request){.operation = LVIF_HVP_BIND, .argument = {domain, port}},
	                 local_port);
}

static void close_port(struct lvif_hv_port *entry)
{
	int receive_fd = atomic_exchange_explicit(&entry->receive_fd, -1, memory_order_relaxed);
	int notify_fd = atomic_exchange_explicit(&entry->notify_fd, -1, memory_order_relaxed);

	if (receive_fd >= 0)
		close(receive_fd);
	if (notify_fd >= 0)
		close(notify_fd);
}

void lvif_hv_event_free(struct lvif_hv *hv, uint32_t port)
{
	struct lvif_hv_port *entry = find_port(hv, port);

	/* Descriptors first: once hypervisord has freed the number it may give it out again. */
	if (entry != NULL)
		close_port(entry);
	(void)lvif_hv_call(hv, &(struct lvif_hv_request){.operation = LVIF_HVP_FREE, .argument = {port}, .send_fd = -1},
	                   NULL);
}

void lvif_hv_ports_close(struct lvif_hv *hv)
{
	for (uint32_t i = 0; i < LVIF_HV_PORT_CHUNKS; i++) {
		struct lvif_hv_port *chunk = atomic_load_explicit(&hv->ports.chunk[i], memory_order_acquire);

		for (uint32_t j = 0; chunk != NULL && j < LVIF_HV_PORTS_PER_CHUNK; j++)
			close_port(&chunk[j]);
		free(chunk);
	}
}

int lvif_hv_event_fd(struct lvif_hv *hv, uint32_t port)
{
	struct lvif_hv_port *entry = find_port(hv, port);
	int fd = entry == NULL ? -1 : atomic_load_explicit(&entry->receive_fd, memory_order_relaxed);

	return fd >= 0 ? fd : -ENOENT;
}

void lvif_hv_event_notify(struct lvif_hv *hv, uint32_t port)
{
	uint64_t const one = 1;
	struct lvif_hv_port *entry = find_port(hv, port);
	int fd = entry == NULL ? -1 : atomic_load_explicit(&entry->notify_fd, memory_order_relaxed);
	int saved = errno;
	ssize_t ignored; /* full: the other side has notifications to take already */

	if (fd < 0)
		return;
	if (hv->role == LVIF_HV_SERVER)
		ignored = send(fd, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		ignored = write(fd, &one, sizeof(one));
	(void)ignored;
	errno = saved;
}

void lvif_hv_event_clear(struct lvif_hv *hv, uint32_t port)
{
	enum { RECEIVES_MAX = 8 };
	char bytes[4096];
	uint64_t count;
	struct iovec counter = {&count, sizeof(count)};
	struct lvif_hv_port *entry = find_port(hv, port);
	int fd = entry == NULL ? -1 : atomic_load_explicit(&entry->receive_fd, memory_order_relaxed);
	int saved = errno;

	if (fd < 0)
		return;
	if (hv->role == LVIF_HV_SERVER) {
		(void)!preadv2(fd, &counter, 1, -1, RWF_NOWAIT);
	} else {
		for (int i = 0; i < RECEIVES_MAX && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) == sizeof(bytes); i++)
			;
	}
	errno = saved;
}
