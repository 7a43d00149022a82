/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypercalls on ports: to the hypervisor where it is the authority, else to the server. */
#include "interface.h"

#include <bmk-rumpuser/core_types.h>
#include <bmk-rumpuser/rumpuser.h>

#include <librettos/portmap_hypercall.h>

#include "hypercalls.h"
#include "port_hypercall.h"

#define LONGEST_WAIT_US 5000000u
#define LVIF_EADDRINUSE (-98)
#define LVIF_EDQUOT (-122)

/* The number goes into the name of the call's entry in Mini-OS' page of hypercalls. */
#define __HYPERVISOR_lvif_portmap 46
LVIF_STATIC_ASSERT(__HYPERVISOR_lvif_portmap == LVIF_PORTMAP_HYPERCALL, "portmap hypercall");

static int call(void *context, enum lvif_portmap_operation operation, void *structure, uint32_t bytes)
{
	(void)context;
	(void)bytes;
	return _hypercall2(int, lvif_portmap, operation, structure);
}

static struct lvif_portmap_caller const hypervisor = {.call = call, .context = NULL};

static int ask_server(struct virtif_user *interface, enum lvif_message_type operation, uint8_t protocol, uint16_t *port,
                      uint16_t count)
{
	int locks;
	int result;

	rumpkern_unsched(&locks, NULL);
	result = lvif_port_requests_ask(&interface->ports, &interface->control, operation, protocol, port, count,
	                                lvif_minios_now_us() + LONGEST_WAIT_US);
	rumpkern_sched(locks, NULL);
	return result;
}

static int ask(enum lvif_message_type operation, uint8_t protocol, uint16_t *port, uint16_t count)
{
	struct virtif_user *const interface = lvif_the_interface();

	if (interface == NULL || !interface->was_connected)
		return LVIF_ENOTCONN;
	if (interface->offer.port_authority_is_server)
		return ask_server(interface, operation, protocol, port, count);
	switch (operation) {
	case LVIF_MSG_PORT_BIND:
		return lvif_portmap_bind(&hypervisor, protocol, *port, port);
	case LVIF_MSG_PORT_LEASE:
		return lvif_portmap_lease(&hypervisor, protocol, count, port);
	default:
		return lvif_portmap_release(&hypervisor, protocol, *port, count);
	}
}

static int netbsd_error(int result)
{
	if (result == LVIF_EDQUOT)
		bmk_printf("lvif: no claim of a port: this guest's limit of ports is reached (librettosctl limit)\n");
	if (result == LVIF_EADDRINUSE || result == LVIF_EDQUOT)
		return LVIF_PORTS_IN_USE;
	if (result != 0)
		bmk_printf("lvif: no claim of a port: error %d\n", -result);
	return result == 0 ? 0 : LVIF_PORTS_NOBODY;
}

int rumpcomp_lvif_ports_shared(void)
{
	struct virtif_user const *const interface = lvif_the_interface();

	return interface != NULL && interface->was_connected && interface->offer.mode == LVIF_MODE_SHARED;
}

int rumpcomp_lvif_port_claim(int protocol, unsigned port)
{
	uint16_t claimed = (uint16_t)port;

	return netbsd_error(ask(LVIF_MSG_PORT_BIND, (uint8_t)protocol, &claimed, 0));
}

/* What is not ours any more needs no release. */
int rumpcomp_lvif_port_release(int protocol, unsigned port)
{
	uint16_t released = (uint16_t)port;
	int const result = ask(LVIF_MSG_PORT_RELEASE, (uint8_t)protocol, &released, 1);

	return result == LVIF_EAGAIN || result == LVIF_ENOTCONN ? LVIF_PORTS_NOBODY : 0;
}

int rumpcomp_lvif_ports_lease(unsigned count, unsigned *first)
{
	uint16_t leased = 0;
	int const result = ask(LVIF_MSG_PORT_LEASE, LVIF_PORT_TCP_AND_UDP, &leased, (uint16_t)count);

	*first = leased;
	return netbsd_error(result);
}
