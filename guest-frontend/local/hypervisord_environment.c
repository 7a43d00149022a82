/* SPDX-License-Identifier: BSD-2-Clause */
/* The frontend library's environment over a connection to librettos-hypervisord. */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include <librettos/frontend.h>

#include "hypervisord_client.h"

static void *pages_allocate(void *context, size_t bytes)
{
	return lvif_hv_pages_allocate(context, bytes);
}

static void pages_free(void *context, void *pages, size_t bytes)
{
	lvif_hv_pages_free(context, pages, bytes);
}

static int share(void *context, void *pages, size_t bytes, uint16_t domain, uint32_t *region)
{
	return lvif_hv_share(context, pages, bytes, domain, region);
}

static int unshare(void *context, uint32_t region)
{
	return lvif_hv_unshare(context, region);
}

static int event_allocate(void *context, uint16_t domain, uint32_t *port)
{
	return lvif_hv_event_allocate(context, domain, port);
}

static void event_free(void *context, uint32_t port)
{
	lvif_hv_event_free(context, port);
}

static void event_notify(void *context, uint32_t port)
{
	lvif_hv_event_notify(context, port);
}

static int store_read(void *context, char const *path, char *value, size_t size)
{
	return lvif_hv_read(context, path, value, size);
}

static int store_write(void *context, char const *path, char const *value)
{
	return lvif_hv_write(context, path, value);
}

static int store_watch(void *context, char const *path)
{
	return lvif_hv_watch(context, path);
}

static void store_unwatch(void *context, char const *path)
{
	(void)lvif_hv_unwatch(context, path);
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
	struct timespec const pause = {0, 200 * 1000};

	(void)context;
	nanosleep(&pause, NULL);
}

void lvif_hv_environment(struct lvif_hv *hv, struct lvif_environment *environment)
{
	*environment = (struct lvif_environment){
	        .context = hv,
	        .self = lvif_hv_self(hv),
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
