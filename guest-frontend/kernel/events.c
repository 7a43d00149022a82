/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment's event channels. */
#include "domain.h"

#include <linux/interrupt.h>
#include <xen/events.h>
#include <xen/xen.h>
#include <xen/xenbus.h>

static irqreturn_t channel_fired(int irq, void *data)
{
	struct lvif_channel *const channel = data;
	struct napi_struct *napi;

	(void)irq;
	/* Whoever sets `napi` polls after that: either it finds `fired`, or it is seen here. */
	smp_store_mb(channel->fired, true);
	napi = READ_ONCE(channel->napi);
	if (napi != NULL)
		napi_schedule(napi);
	else
		channel->domain->changed(channel->domain);
	return IRQ_HANDLED;
}

static struct lvif_channel *find(struct lvif_domain *domain, uint32_t port)
{
	for (uint32_t i = 0; i < LVIF_DOMAIN_CHANNELS; i++) {
		if (domain->channel[i].port == port)
			return &domain->channel[i];
	}
	return NULL;
}

static void close_port(uint32_t port)
{
	struct evtchn_close close = {.port = port};

	(void)HYPERVISOR_event_channel_op(EVTCHNOP_close, &close);
}

int lvif_domain_event_allocate(void *context, uint16_t domid, uint32_t *port)
{
	struct lvif_domain *const domain = context;
	struct lvif_channel *const channel = find(domain, 0);
	struct evtchn_alloc_unbound unbound = {.dom = DOMID_SELF, .remote_dom = domid};
	int result;

	if (channel == NULL)
		return -ENOSPC;
	result = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &unbound);
	if (result < 0)
		return result;
	channel->domain = domain;
	channel->napi = NULL;
	channel->fired = false;
	result = bind_evtchn_to_irqhandler_lateeoi(unbound.port, channel_fired, 0, dev_name(&domain->xenbus->dev),
	                                           channel);
	if (result < 0) {
		close_port(unbound.port);
		return result;
	}
	channel->irq = result;
	channel->port = unbound.port;
	*port = unbound.port;
	return 0;
}

void lvif_domain_event_free(void *context, uint32_t port)
{
	struct lvif_channel *const channel = port != 0 ? find(context, port) : NULL;

	if (channel == NULL)
		return;
	unbind_from_irqhandler((unsigned)channel->irq, channel); /* closes the port, too */
	channel->port = 0;
}

void lvif_domain_event_notify(void *context, uint32_t port)
{
	(void)context;
	notify_remote_via_evtchn(port);
}

struct lvif_channel *lvif_domain_channel(struct lvif_domain *domain, uint32_t port, struct napi_struct *napi)
{
	struct lvif_channel *const channel = port != 0 ? find(domain, port) : NULL;

	if (channel != NULL)
		WRITE_ONCE(channel->napi, napi);
	return channel;
}

void lvif_channel_done(struct lvif_channel *channel, bool useful)
{
	if (READ_ONCE(channel->fired)) {
		WRITE_ONCE(channel->fired, false);
		xen_irq_lateeoi((unsigned)channel->irq, useful ? 0 : XEN_EOI_FLAG_SPURIOUS);
	}
}

void lvif_domain_events_done(struct lvif_domain *domain, bool useful)
{
	for (uint32_t i = 0; i < LVIF_DOMAIN_CHANNELS; i++) {
		struct lvif_channel *const channel = &domain->channel[i];

		if (channel->port != 0 && channel->napi == NULL)
			lvif_channel_done(channel, useful);
	}
}
