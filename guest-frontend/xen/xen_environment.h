/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frontend library's environment in a Linux domain on Xen: /dev/xen/gntalloc, /dev/xen/evtchn, xenstore.
 *
 * Who the guest is, the toolstack has decided: domain id and name are what xenstore says. One lvif_xen per process; one
 * control thread makes all calls but lvif_xen_event_notify and lvif_xen_event_clear (any thread, as hypervisord_client.h says).
 * Functions that return int: 0 or more, or a negative errno.
 *
 * Pages. gntalloc makes pages for one domain, and the library allocates before it names one: pages are ordinary memory
 * until they are shared, then gntalloc's pages take their place, with what was in them. A region is named by its grant
 * directory (librettos/grant_directory.h). When a region is unshared while the server still has it mapped, Linux keeps its pages
 * until that ends, whatever this process does: lvif_environment.unshare never says LVIF_EBUSY here.
 */
#ifndef LIBRETTOS_XEN_ENVIRONMENT_H
#define LIBRETTOS_XEN_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>

#include "xen_calls.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lvif_environment; /* librettos/frontend.h */
struct lvif_xen;

#define LVIF_XEN_NAME_MAX 255

/* `calls`: lvif_xen_linux_calls. On failure *error says in words what is missing and what to do. Starts no thread before the
 * first watch. */
int lvif_xen_open(struct lvif_xen_calls const *calls, struct lvif_xen **xen, char const **error);
/* Gives everything back, also what was not unshared or freed. */
void lvif_xen_close(struct lvif_xen *xen);

uint16_t lvif_xen_self(struct lvif_xen const *xen);
char const *lvif_xen_name(struct lvif_xen const *xen);
/* Why the last sharing of pages or allocation of an event port failed, in words; "" when it did not. */
char const *lvif_xen_error(struct lvif_xen const *xen);

/* Whether the host has made this domain's device `number` and lets the guest write there. -EACCES, -ENOENT: not yet. */
int lvif_xen_device_ready(struct lvif_xen *xen, uint16_t number);

/* Readable when watches have fired. -1 before the first watch. */
int lvif_xen_watch_fd(struct lvif_xen *xen);
/* Takes what there is, bounded; how many. -ECONNRESET: xenstore is gone. */
int lvif_xen_take_events(struct lvif_xen *xen);

int lvif_xen_event_fd(struct lvif_xen *xen, uint32_t port); /* -ENOENT */
void lvif_xen_event_notify(struct lvif_xen *xen, uint32_t port);
void lvif_xen_event_clear(struct lvif_xen *xen, uint32_t port);

/* `quiesce` is left NULL for the caller to set. */
void lvif_xen_environment(struct lvif_xen *xen, struct lvif_environment *environment);

#ifdef __cplusplus
}
#endif

#endif
