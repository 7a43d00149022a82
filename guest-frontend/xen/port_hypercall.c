/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's ports by hypercall: the calls, over whatever makes a hypercall here. */
#include "port_hypercall.h"

#include <stddef.h>

#define LVIF_EPROTO_NUMBER 71 /* spelled here so that no errno.h is needed */

int lvif_portmap_probe(struct lvif_portmap_caller const *caller, struct lvif_portmap_features *features)
{
	struct lvif_portmap_features found = {0};
	int status = caller->call(caller->context, LVIF_PORTMAP_OP_FEATURES, &found, sizeof(found));

	if (status != 0)
		return status;
	if (found.magic != LVIF_PORTMAP_ABI_MAGIC || found.abi != LVIF_PORTMAP_ABI)
		return -LVIF_EPROTO_NUMBER;
	if (features != NULL)
		*features = found;
	return 0;
}

int lvif_portmap_bind(struct lvif_portmap_caller const *caller, uint8_t protocol, uint16_t port, uint16_t *bound)
{
	struct lvif_portmap_ports ports = {.protocol = protocol, .port = port};
	int status = caller->call(caller->context, LVIF_PORTMAP_OP_BIND, &ports, sizeof(ports));

	if (status == 0 && bound != NULL)
		*bound = ports.port;
	return status;
}

int lvif_portmap_lease(struct lvif_portmap_caller const *caller, uint8_t protocol, uint32_t count, uint16_t *first)
{
	struct lvif_portmap_ports ports = {.protocol = protocol, .count = count};
	int status = caller->call(caller->context, LVIF_PORTMAP_OP_LEASE, &ports, sizeof(ports));

	if (status == 0 && first != NULL)
		*first = ports.port;
	return status;
}

int lvif_portmap_release(struct lvif_portmap_caller const *caller, uint8_t protocol, uint16_t first, uint32_t count)
{
	struct lvif_portmap_ports ports = {.protocol = protocol, .port = first, .count = count};

	return caller->call(caller->context, LVIF_PORTMAP_OP_RELEASE, &ports, sizeof(ports));
}
