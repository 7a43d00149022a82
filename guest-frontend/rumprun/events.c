/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's event channels. */
#include "environment.h"

static struct lvif_channel *find(struct lvif_minios *minios, uint32_t port)
{
	for (uint32_t i = 0; i < LVIF_MINIOS_CHANNELS; i++) {
		if (minios->channel[i].port == port)
			return &minios->channel[i];
	}
	return NULL;
}

int lvif_minios_event_allocate(void *context, uint16_t domain, uint32_t *port)
{
	struct lvif_minios *const minios = context;
	struct lvif_channel *const channel = find(minios, 0);

	if (channel == NULL)
		return LVIF_ENOMEM;
	channel->wakes = minios->control;
	if (minios_evtchn_alloc_unbound(domain, lvif_channel_fired, channel, &channel->port) != 0) {
		channel->port = 0;
		return LVIF_EIO;
	}
	minios_unmask_evtchn(channel->port);
	*port = channel->port;
	return 0;
}

void lvif_minios_event_free(void *context, uint32_t port)
{
	struct lvif_channel *const channel = port != 0 ? find(context, port) : NULL;

	if (channel == NULL)
		return;
	minios_unbind_evtchn(channel->port);
	channel->port = 0;
}

void lvif_minios_event_notify(void *context, uint32_t port)
{
	(void)context;
	(void)minios_notify_remote_via_evtchn(port);
}

void lvif_minios_event_wakes(struct lvif_minios *minios, uint32_t port, struct lvif_sleeper *sleeper)
{
	struct lvif_channel *const channel = port != 0 ? find(minios, port) : NULL;

	if (channel != NULL)
		channel->wakes = sleeper;
}
