/* SPDX-License-Identifier: BSD-2-Clause */
/* Hypercalls of a Linux guest's user space: libxencall on /dev/xen/privcmd. */
#include "port_hypercall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xencall.h>

/* The largest structure of librettos/portmap_hypercall.h. */
#define LVIF_XENCALL_BUFFER_BYTES sizeof(struct lvif_portmap_query)

struct lvif_xencall {
	xencall_handle *handle;
	void *buffer; /* memory that the hypervisor can write without a page fault */
};

int lvif_xencall_open(struct lvif_xencall **xencall)
{
	struct lvif_xencall *opened = calloc(1, sizeof(*opened));
	int status;

	if (opened == NULL)
		return -ENOMEM;
	opened->handle = xencall_open(NULL, XENCALL_OPENFLAG_NON_REENTRANT);
	if (opened->handle != NULL)
		opened->buffer = xencall_alloc_buffer(opened->handle, LVIF_XENCALL_BUFFER_BYTES);
	if (opened->buffer == NULL) {
		status = errno != 0 ? -errno : -ENOMEM;
		lvif_xencall_close(opened);
		return status;
	}
	*xencall = opened;
	return 0;
}

void lvif_xencall_close(struct lvif_xencall *xencall)
{
	if (xencall == NULL)
		return;
	if (xencall->buffer != NULL)
		xencall_free_buffer(xencall->handle, xencall->buffer);
	if (xencall->handle != NULL)
		xencall_close(xencall->handle);
	free(xencall);
}

static int call(void *context, enum lvif_portmap_operation operation, void *structure, uint32_t bytes)
{
	struct lvif_xencall *xencall = context;
	int status;

	if (bytes > LVIF_XENCALL_BUFFER_BYTES)
		return -EMSGSIZE;
	memcpy(xencall->buffer, structure, bytes);
	status = xencall2(xencall->handle, LVIF_PORTMAP_HYPERCALL, operation, (uintptr_t)xencall->buffer);
	if (status < 0)
		return -errno;
	memcpy(structure, xencall->buffer, bytes);
	return 0;
}

struct lvif_portmap_caller lvif_xencall_caller(struct lvif_xencall *xencall)
{
	return (struct lvif_portmap_caller){.call = call, .context = xencall};
}
