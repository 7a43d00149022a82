/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frontend library's environment on Mini-OS, as it is in a rumprun unikernel on Xen: guest-frontend/xen is the same for a Linux
 * domain.
 *
 * Pages are the platform's; a region of them is named by its grant directory (librettos/grant_directory.h). The platform's grant table
 * is small and waits for ever when it is full, so the environment takes no more than LVIF_MINIOS_GRANTS of it.
 *
 * The control thread makes all calls but event_notify. While it is in one that blocks (those of the store), others run.
 */
#ifndef LIBRETTOS_RUMPRUN_ENVIRONMENT_H
#define LIBRETTOS_RUMPRUN_ENVIRONMENT_H

#include "handler.h" /* first: Mini-OS defines u_int only where no header has defined size_t before */

#include <librettos/frontend.h>

#define LVIF_MINIOS_GRANTS 1536u                           /* of 2,040; block devices and others need some */
#define LVIF_MINIOS_CHANNELS (2u * (1u + LVIF_MAX_QUEUES)) /* of a connection, and of one that is just being made */

struct lvif_minios_region;

struct lvif_minios {
	uint16_t self;
	struct lvif_sleeper *control; /* woken by watches, and by events until lvif_minios_event_wakes() */
	struct lvif_minios_region *regions;
	uint32_t grants; /* in use */
	struct lvif_channel channel[LVIF_MINIOS_CHANNELS];
	struct xenbus_event_queue watches;
};

/* `control` is woken for lvif_poll(). 0, or LVIF_EIO: xenstore does not say who we are. */
int lvif_minios_open(struct lvif_minios *minios, struct lvif_sleeper *control);
/* `quiesce` is left NULL for the caller to set; its context is `minios`. */
void lvif_minios_environment(struct lvif_minios *minios, struct lvif_environment *environment);
/* Forgets which watches have fired: before lvif_poll(). */
void lvif_minios_take_watches(struct lvif_minios *minios);
/* From now on the port's events wake this one. */
void lvif_minios_event_wakes(struct lvif_minios *minios, uint32_t port, struct lvif_sleeper *sleeper);

/* memory.c, events.c, store_access.c: members of the environment, with `minios` as context. */
void *lvif_minios_pages_allocate(void *context, size_t bytes);
void lvif_minios_pages_free(void *context, void *pages, size_t bytes);
int lvif_minios_share(void *context, void *pages, size_t bytes, uint16_t domain, uint32_t *region);
int lvif_minios_unshare(void *context, uint32_t region);
int lvif_minios_event_allocate(void *context, uint16_t domain, uint32_t *port);
void lvif_minios_event_free(void *context, uint32_t port);
void lvif_minios_event_notify(void *context, uint32_t port);
void lvif_minios_store_open(struct lvif_minios *minios);
int lvif_minios_store_read(void *context, char const *path, char *value, size_t size);
int lvif_minios_store_write(void *context, char const *path, char const *value);
int lvif_minios_store_watch(void *context, char const *path);
void lvif_minios_store_unwatch(void *context, char const *path);

#endif
