/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the Xen environment, and its functions as the frontend library calls them. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xen_connection.h"

#define DOMAIN_ID_MAX 32751u /* DOMID_FIRST_RESERVED - 1, xen/include/public/xen.h */

static int read_identity(struct lvif_xen *xen)
{
	char text[8];
	char *end;
	unsigned long number;
	int result = lvif_xen_read(xen, "domid", text, sizeof(text)); /* relative paths begin in our own home */

	if (result < 0)
		return result;
	number = strtoul(text, &end, 10);
	if (end == text || *end != '\0' || number > DOMAIN_ID_MAX)
		return -EPROTO;
	xen->self = (uint16_t)number;
	result = lvif_xen_read(xen, "name", xen->name, sizeof(xen->name));
	return result < 0 ? result : 0;
}

int lvif_xen_open(struct lvif_xen_calls const *calls, struct lvif_xen **result, char const **error)
{
	struct lvif_xen *const xen = calloc(1, sizeof(*xen));
	int status;

	*error = "out of memory";
	if (xen == NULL)
		return -ENOMEM;
	xen->calls = calls;
	xen->gntalloc = -1;
	*error = "open xenstore (needs root and /dev/xen/xenbus: is this a domain on Xen?)";
	xen->store = calls->xs_open();
	status = xen->store == NULL ? -errno : 0;
	if (status == 0) {
		*error = "read this domain's number and name in xenstore";
		status = read_identity(xen);
	}
	if (status == 0) {
		*error = "open /dev/xen/gntalloc (modprobe xen-gntalloc; needs root)";
		xen->gntalloc = calls->gntalloc_open();
		status = xen->gntalloc < 0 ? -errno : 0;
	}
	if (status == 0) {
		*error = "";
		*result = xen;
		return 0;
	}
	lvif_xen_close(xen);
	return status;
}

void lvif_xen_close(struct lvif_xen *xen)
{
	if (xen == NULL)
		return;
	lvif_xen_events_close(xen);
	lvif_xen_pages_close(xen);
	if (xen->gntalloc >= 0)
		xen->calls->close(xen->gntalloc);
	if (xen->store != NULL)
		xen->calls->xs_close(xen->store);
	free(xen);
}

uint16_t lvif_xen_self(struct lvif_xen const *xen)
{
	return xen->self;
}

char const *lvif_xen_name(struct lvif_xen const *xen)
{
	return xen->name;
}

char const *lvif_xen_error(struct lvif_xen const *xen)
{
	return xen->error;
}

static void *pages_allocate(void *context, size_t bytes)
{
	return lvif_xen_pages_allocate(context, bytes);
}

static void pages_free(void *context, void *pages, size_t bytes)
{
	(void)bytes;
	lvif_xen_pages_free(context, pages);
}

static int share(void *context, void *pages, size_t bytes, uint16_t domain, uint32_t *region)
{
	return lvif_xen_share(context, pages, bytes, domain, region);
}

static int unshare(void *context, uint32_t region)
{
	return lvif_xen_unshare(context, region);
}

static int event_allocate(void *context, uint16_t domain, uint32_t *port)
{
	return lvif_xen_event_allocate(context, domain, port);
}

static void event_free(void *context, uint32_t port)
{
	lvif_xen_event_free(context, port);
}

static void event_notify(void *context, uint32_t port)
{
	lvif_xen_event_notify(context, port);
}

static int store_read(void *context, char const *path, char *value, size_t size)
{
	return lvif_xen_read(context, path, value, size);
}

static int store_write(void *context, char const *path, char const *value)
{
	return lvif_xen_write(context, path, value);
}

static int store_watch(void *context, char const *path)
{
	return lvif_xen_watch(context, path);
}

static void store_unwatch(void *context, char const *path)
{
	lvif_xen_unwatch(context, path);
}

static uint64_t now_us(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Whoever yields waits for the other side: a short sleep, not a spin. */
static void yield(void *context)
{
	struct timespec const pause = {0, 1000 * 1000};

	(void)context;
	nanosleep(&pause, NULL);
}

void lvif_xen_environment(struct lvif_xen *xen, struct lvif_environment *environment)
{
	*environment = (struct lvif_environment){
	        .context = xen,
	        .self = xen->self,
	        .pages_allocate = pages_allocate,
	        .pages_free = pages_free,
	        .share = share,
	        .unshare = unshare,
	        .event_allocate = event_allocate,
	        .event_free = event_free,
	        .event_notify = event_notify,
	        .store_read = store_read,
	        .store_write = store_write,
	        .store_watch = store_watch,
	        .store_unwatch = store_unwatch,
	        .now_us = now_us,
	        .yield = yield,
	};
}
