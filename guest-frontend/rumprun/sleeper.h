/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread's sleep until a handler, or another thread, has something for it. */
#ifndef LIBRETTOS_RUMPRUN_SLEEPER_H
#define LIBRETTOS_RUMPRUN_SLEEPER_H

#include <stdbool.h>
#include <stdint.h>

struct bmk_thread;

struct lvif_sleeper {
	bool volatile fired;                  /* writers: anyone (true), the thread (false) */
	struct bmk_thread *volatile sleeping; /* writer: the thread; not NULL while it sleeps here, and nowhere else */
};

/* Any thread, any handler. Does not block. */
void lvif_sleeper_wake(struct lvif_sleeper *sleeper);
/* Until it was woken since this last returned, or until now_us() >= deadline_us. Outside of the rump kernel. */
void lvif_sleeper_sleep(struct lvif_sleeper *sleeper, uint64_t deadline_us);

uint64_t lvif_minios_now_us(void);

#endif
