/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the Xen environment share. */
#ifndef LIBRETTOS_XEN_CONNECTION_H
#define LIBRETTOS_XEN_CONNECTION_H

#include <stdatomic.h>

#include <librettos/frontend.h>

#include "xen_environment.h"

#define LVIF_XEN_CHANNELS (2u * (1u + LVIF_MAX_QUEUES)) /* of a connection, and one more that is just being made */

/* Allocated pages; with `grants` they are gntalloc's. */
struct lvif_xen_pages {
	struct lvif_xen_pages *next;
	void *address;
	size_t bytes;
	uint32_t grants; /* 0: not shared */
	uint64_t index;  /* gntalloc's */
	uint32_t region; /* grant of the first directory page */
};

struct lvif_xen_channel {
	_Atomic uint32_t port; /* 0: free */
	void *handle;
};

struct lvif_xen {
	struct lvif_xen_calls const *calls;
	void *store;
	int gntalloc;
	bool watching;
	uint16_t self;
	char name[LVIF_XEN_NAME_MAX + 1];
	char error[256];
	struct lvif_xen_pages *pages;
	struct lvif_xen_channel channel[LVIF_XEN_CHANNELS];
};

void *lvif_xen_pages_allocate(struct lvif_xen *xen, size_t bytes);
void lvif_xen_pages_free(struct lvif_xen *xen, void *address);
int lvif_xen_share(struct lvif_xen *xen, void *address, size_t bytes, uint16_t domain, uint32_t *region);
int lvif_xen_unshare(struct lvif_xen *xen, uint32_t region);
void lvif_xen_pages_close(struct lvif_xen *xen);

int lvif_xen_event_allocate(struct lvif_xen *xen, uint16_t domain, uint32_t *port);
void lvif_xen_event_free(struct lvif_xen *xen, uint32_t port);
void lvif_xen_events_close(struct lvif_xen *xen);

int lvif_xen_read(struct lvif_xen *xen, char const *path, char *value, size_t size);
int lvif_xen_write(struct lvif_xen *xen, char const *path, char const *value);
int lvif_xen_watch(struct lvif_xen *xen, char const *path);
void lvif_xen_unwatch(struct lvif_xen *xen, char const *path);

#endif
