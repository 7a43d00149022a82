/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain.h"

#include <linux/delay.h>
#include <linux/ktime.h>
#include <xen/xenbus.h>

#define YIELD_US 1000

static uint64_t now_us(void *context)
{
	(void)context;
	return (uint64_t)ktime_to_us(ktime_get());
}

/* Whoever yields waits for the other side: a short sleep, not a spin. */
static void yield_to_others(void *context)
{
	(void)context;
	usleep_range(YIELD_US, 2 * YIELD_US);
}

int lvif_domain_open(struct lvif_domain *domain, struct xenbus_device *xenbus,
                     void (*changed)(struct lvif_domain *domain))
{
	int found;

	memset(domain, 0, sizeof(*domain));
	domain->xenbus = xenbus;
	domain->changed = changed;
	INIT_LIST_HEAD(&domain->regions);
	INIT_LIST_HEAD(&domain->watches);
	found = xenbus_scanf(XBT_NIL, "domid", "", "%hu", &domain->self); /* relative paths begin in our own home */
	return found == 1 ? 0 : found < 0 ? found : -EIO;
}

void lvif_domain_close(struct lvif_domain *domain)
{
	lvif_domain_end_watches(domain);
	lvif_domain_abandon_regions(domain);
}

void lvif_domain_environment(struct lvif_domain *domain, struct lvif_environment *environment)
{
	*environment = (struct lvif_environment){
	        .context = domain,
	        .self = domain->self,
	        .pages_allocate = lvif_domain_pages_allocate,
	        .pages_free = lvif_domain_pages_free,
	        .share = lvif_domain_share,
	        .unshare = lvif_domain_unshare,
	        .event_allocate = lvif_domain_event_allocate,
	        .event_free = lvif_domain_event_free,
	        .event_notify = lvif_domain_event_notify,
	        .store_read = lvif_domain_store_read,
	        .store_write = lvif_domain_store_write,
	        .store_watch = lvif_domain_store_watch,
	        .store_unwatch = lvif_domain_store_unwatch,
	        .now_us = now_us,
	        .yield = yield_to_others,
	};
}
