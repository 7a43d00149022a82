/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frontend library's environment in the kernel of a Linux domain: guest-frontend/xen is the same for a process.
 *
 * Pages are vmalloc's; a region of them is named by its grant directory (librettos/grant_directory.h). An event channel has an
 * interrupt that stays masked from its handler until lvif_channel_done(): a server that notifies without end costs one interrupt for
 * each look, and Xen's own brake for spurious events holds.
 *
 * One caller at a time makes the calls of the environment but event_notify; what blocks is said in librettos/frontend.h.
 */
#ifndef LIBRETTOS_KERNEL_DOMAIN_H
#define LIBRETTOS_KERNEL_DOMAIN_H

#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/types.h>

#include <librettos/frontend.h>

#define LVIF_DOMAIN_CHANNELS (2u * (1u + LVIF_MAX_QUEUES)) /* of a connection, and of one that is just being made */

struct xenbus_device;
struct lvif_domain;

struct lvif_channel {
	struct lvif_domain *domain;
	uint32_t port; /* 0: free */
	int irq;
	struct napi_struct *napi; /* who is scheduled by an event; NULL: `changed` is called */
	bool fired;               /* masked until lvif_channel_done() */
};

struct lvif_domain {
	struct xenbus_device *xenbus;
	void (*changed)(struct lvif_domain *domain); /* a watch or an event wants lvif_poll(); any context */
	uint16_t self;
	struct list_head regions;
	struct list_head watches;
	struct lvif_channel channel[LVIF_DOMAIN_CHANNELS];
};

/* A negative errno: xenstore does not say who we are. */
int lvif_domain_open(struct lvif_domain *domain, struct xenbus_device *xenbus,
                     void (*changed)(struct lvif_domain *domain));
/* After lvif_close(). Pages that the server still maps stay the kernel's until it lets go. */
void lvif_domain_close(struct lvif_domain *domain);
/* `quiesce` is left NULL for the caller to set; the context is `domain`. */
void lvif_domain_environment(struct lvif_domain *domain, struct lvif_environment *environment);

/* Whose events schedule `napi` from now on. NULL: no such port. */
struct lvif_channel *lvif_domain_channel(struct lvif_domain *domain, uint32_t port, struct napi_struct *napi);
/* What the event told of has been looked after: the next may come. useful: there was something. */
void lvif_channel_done(struct lvif_channel *channel, bool useful);
/* The same for all channels without a napi. */
void lvif_domain_events_done(struct lvif_domain *domain, bool useful);

/* memory.c, events.c, store_access.c: members of the environment, with the domain as context. */
void *lvif_domain_pages_allocate(void *context, size_t bytes);
void lvif_domain_pages_free(void *context, void *pages, size_t bytes);
int lvif_domain_share(void *context, void *pages, size_t bytes, uint16_t domid, uint32_t *name);
int lvif_domain_unshare(void *context, uint32_t name);
void lvif_domain_abandon_regions(struct lvif_domain *domain);
int lvif_domain_event_allocate(void *context, uint16_t domid, uint32_t *port);
void lvif_domain_event_free(void *context, uint32_t port);
void lvif_domain_event_notify(void *context, uint32_t port);
int lvif_domain_store_read(void *context, char const *path, char *value, size_t size);
int lvif_domain_store_write(void *context, char const *path, char const *value);
int lvif_domain_store_watch(void *context, char const *path);
void lvif_domain_store_unwatch(void *context, char const *path);
void lvif_domain_end_watches(struct lvif_domain *domain);

#endif
