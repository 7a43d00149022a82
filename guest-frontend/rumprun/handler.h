/* SPDX-License-Identifier: BSD-2-Clause */
/* The part that runs on the interrupt stack (the rules: minios.h). */
#ifndef LIBRETTOS_RUMPRUN_HANDLER_H
#define LIBRETTOS_RUMPRUN_HANDLER_H

#include "minios.h"
#include "sleeper.h"

/* An event channel, for its handler. */
struct lvif_channel {
	evtchn_port_t port; /* 0: free */
	struct lvif_sleeper *volatile wakes;
};

void lvif_channel_fired(evtchn_port_t port, struct pt_regs *registers, void *channel);

#endif
