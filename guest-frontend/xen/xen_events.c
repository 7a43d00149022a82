/* SPDX-License-Identifier: BSD-2-Clause */
/* The Xen environment's event channels. The kernel masks a channel when it hands an event over, so a peer that notifies without
 * end costs one wake-up per clear. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xen_connection.h"

#define EVENTS_PER_CLEAR 4

static struct lvif_xen_channel *find(struct lvif_xen *xen, uint32_t port)
{
	for (uint32_t i = 0; i < LVIF_XEN_CHANNELS; i++) {
		/* acquire: pairs with the release in lvif_xen_event_allocate() */
		if (atomic_load_explicit(&xen->channel[i].port, memory_order_acquire) == port)
			return &xen->channel[i];
	}
	return NULL;
}

int lvif_xen_event_allocate(struct lvif_xen *xen, uint16_t domain, uint32_t *port)
{
	struct lvif_xen_channel *const channel = find(xen, 0);
	int bound = -1;
	int error;

	if (channel == NULL)
		return -EMFILE;
	channel->handle = xen->calls->evtchn_open();
	if (channel->handle != NULL)
		bound = xen->calls->evtchn_bind_unbound(channel->handle, domain);
	error = -errno;
	if (bound > 0) {
		atomic_store_explicit(&channel->port, (uint32_t)bound, memory_order_release);
		*port = (uint32_t)bound;
		return 0;
	}
	snprintf(xen->error, sizeof(xen->error),
	         "no event channel for domain %u: %s (/dev/xen/evtchn: modprobe xen-evtchn)", domain, strerror(-error));
	if (channel->handle != NULL)
		xen->calls->evtchn_close(channel->handle);
	channel->handle = NULL;
	return error != 0 ? error : -EIO;
}

static void close_channel(struct lvif_xen *xen, struct lvif_xen_channel *channel)
{
	/* Closing the handle ends the channel. */
	xen->calls->evtchn_close(channel->handle);
	channel->handle = NULL;
	atomic_store_explicit(&channel->port, 0, memory_order_release);
}

void lvif_xen_event_free(struct lvif_xen *xen, uint32_t port)
{
	struct lvif_xen_channel *const channel = port != 0 ? find(xen, port) : NULL;

	if (channel != NULL)
		close_channel(xen, channel);
}

void lvif_xen_events_close(struct lvif_xen *xen)
{
	for (uint32_t i = 0; i < LVIF_XEN_CHANNELS; i++) {
		if (xen->channel[i].handle != NULL)
			close_channel(xen, &xen->channel[i]);
	}
}

int lvif_xen_event_fd(struct lvif_xen *xen, uint32_t port)
{
	struct lvif_xen_channel const *const channel = port != 0 ? find(xen, port) : NULL;

	return channel != NULL ? xen->calls->evtchn_fd(channel->handle) : -ENOENT;
}

void lvif_xen_event_notify(struct lvif_xen *xen, uint32_t port)
{
	struct lvif_xen_channel const *const channel = port != 0 ? find(xen, port) : NULL;
	int const saved = errno;

	if (channel != NULL)
		(void)xen->calls->evtchn_notify(channel->handle, port);
	errno = saved;
}

void lvif_xen_event_clear(struct lvif_xen *xen, uint32_t port)
{
	struct lvif_xen_channel const *const channel = port != 0 ? find(xen, port) : NULL;
	int const saved = errno;

	for (int i = 0; channel != NULL && i < EVENTS_PER_CLEAR; i++) {
		int const pending = xen->calls->evtchn_pending(channel->handle);

		if (pending < 0)
			break;
		(void)xen->calls->evtchn_unmask(channel->handle, (uint32_t)pending);
	}
	errno = saved;
}
