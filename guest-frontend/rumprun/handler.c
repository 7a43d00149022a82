/* SPDX-License-Identifier: BSD-2-Clause */
#include "handler.h"

void lvif_sleeper_wake(struct lvif_sleeper *sleeper)
{
	struct bmk_thread *sleeping;

	sleeper->fired = true;
	sleeping = sleeper->sleeping;
	if (sleeping != NULL)
		bmk_sched_wake(sleeping);
}

void lvif_channel_fired(evtchn_port_t port, struct pt_regs *registers, void *channel)
{
	(void)port;
	(void)registers;
	lvif_sleeper_wake(((struct lvif_channel *)channel)->wakes);
}
