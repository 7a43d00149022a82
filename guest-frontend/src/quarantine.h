/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions that could not be unshared: their pages may still be written by the other side, so they are kept until the
 * environment says that they are ours again. Bounded: without room in here nothing new is shared. */
#ifndef LVIF_QUARANTINE_H
#define LVIF_QUARANTINE_H

#include <librettos/frontend.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(hidden)

struct lvif_region {
	void *pages;
	size_t bytes;
	uint32_t reference; /* what `share` returned */
	bool shared;
};

/* Two connections of the largest kind. */
#define LVIF_QUARANTINE_REGIONS (2u * (2u + 2u * LVIF_MAX_QUEUES))

struct lvif_quarantine {
	uint16_t count;
	struct lvif_region region[LVIF_QUARANTINE_REGIONS];
};

/* Frees the region if it can be unshared, else keeps it. There must be room. */
void lvif_quarantine_take(struct lvif_quarantine *quarantine, struct lvif_environment const *environment,
                          struct lvif_region const *region);
/* Tries all of them once more. */
void lvif_quarantine_retry(struct lvif_quarantine *quarantine, struct lvif_environment const *environment);

static inline uint16_t lvif_quarantine_room(struct lvif_quarantine const *quarantine)
{
	return (uint16_t)(LVIF_QUARANTINE_REGIONS - quarantine->count);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
