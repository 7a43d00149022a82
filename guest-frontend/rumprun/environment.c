/* SPDX-License-Identifier: BSD-2-Clause */
#include "environment.h"

#include <string.h>

#define YIELD_US 1000u

uint64_t lvif_minios_now_us(void)
{
	return (uint64_t)bmk_platform_cpu_clock_monotonic() / 1000u;
}

static uint64_t now_us(void *context)
{
	(void)context;
	return lvif_minios_now_us();
}

void lvif_sleeper_sleep(struct lvif_sleeper *sleeper, uint64_t deadline_us)
{
	unsigned long const priority = bmk_platform_splhigh();

	if (!sleeper->fired && lvif_minios_now_us() < deadline_us) {
		sleeper->sleeping = bmk_current;
		bmk_sched_blockprepare_timeout(deadline_us > INT64_MAX / 1000 ? BMK_SCHED_BLOCK_INFTIME
		                                                              : (bmk_time_t)(deadline_us * 1000u));
		bmk_platform_splx(priority);
		bmk_sched_block();
		sleeper->sleeping = NULL;
	} else {
		bmk_platform_splx(priority);
	}
	sleeper->fired = false;
}

/* Whoever yields waits for the other side: a short sleep, not a spin. */
static void yield(void *context)
{
	struct lvif_sleeper pause = {false, NULL};

	(void)context;
	lvif_sleeper_sleep(&pause, lvif_minios_now_us() + YIELD_US);
}

static int read_own_id(struct lvif_minios *minios)
{
	char text[8];
	unsigned id = 0;
	int const length = lvif_minios_store_read(minios, "domid", text, sizeof(text));

	for (int i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return LVIF_EIO;
		id = id * 10u + (unsigned)(text[i] - '0');
	}
	if (length <= 0 || id >= 0x7ff0u)
		return LVIF_EIO;
	minios->self = (uint16_t)id;
	return 0;
}

int lvif_minios_open(struct lvif_minios *minios, struct lvif_sleeper *control)
{
	memset(minios, 0, sizeof(*minios));
	minios->control = control;
	lvif_minios_store_open(minios);
	return read_own_id(minios);
}

void lvif_minios_environment(struct lvif_minios *minios, struct lvif_environment *environment)
{
	*environment = (struct lvif_environment){
	        .context = minios,
	        .self = minios->self,
	        .pages_allocate = lvif_minios_pages_allocate,
	        .pages_free = lvif_minios_pages_free,
	        .share = lvif_minios_share,
	        .unshare = lvif_minios_unshare,
	        .event_allocate = lvif_minios_event_allocate,
	        .event_free = lvif_minios_event_free,
	        .event_notify = lvif_minios_event_notify,
	        .store_read = lvif_minios_store_read,
	        .store_write = lvif_minios_store_write,
	        .store_watch = lvif_minios_store_watch,
	        .store_unwatch = lvif_minios_store_unwatch,
	        .now_us = now_us,
	        .yield = yield,
	};
}
