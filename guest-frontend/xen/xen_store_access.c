/* SPDX-License-Identifier: BSD-2-Clause */
/* The Xen environment's store. What a guest may not see is not there for it: xenstored says EACCES for both. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xen_connection.h"

#define EVENTS_PER_CALL 64

int lvif_xen_read(struct lvif_xen *xen, char const *path, char *value, size_t size)
{
	unsigned length = 0;
	char *const text = xen->calls->xs_read(xen->store, path, &length);

	if (text == NULL)
		return errno == EACCES ? -ENOENT : -errno;
	if (length >= size) {
		free(text);
		return -EMSGSIZE;
	}
	memcpy(value, text, length);
	value[length] = '\0';
	free(text);
	return (int)length;
}

int lvif_xen_write(struct lvif_xen *xen, char const *path, char const *value)
{
	return xen->calls->xs_write(xen->store, path, value, (unsigned)strlen(value)) ? 0 : -errno;
}

int lvif_xen_watch(struct lvif_xen *xen, char const *path)
{
	if (!xen->calls->xs_watch(xen->store, path, path))
		return -errno;
	xen->watching = true;
	return 0;
}

void lvif_xen_unwatch(struct lvif_xen *xen, char const *path)
{
	(void)xen->calls->xs_unwatch(xen->store, path, path);
}

int lvif_xen_watch_fd(struct lvif_xen *xen)
{
	return xen->watching ? xen->calls->xs_fileno(xen->store) : -1;
}

int lvif_xen_take_events(struct lvif_xen *xen)
{
	int taken = 0;

	while (taken < EVENTS_PER_CALL) {
		char **const event = xen->calls->xs_check_watch(xen->store);

		if (event == NULL)
			return errno == EAGAIN || taken > 0 ? taken : -ECONNRESET;
		free(event);
		taken++;
	}
	return taken;
}

int lvif_xen_device_ready(struct lvif_xen *xen, uint16_t number)
{
	char path[96];
	char state[16];
	int result;

	snprintf(path, sizeof(path), "/local/domain/%u/device/" LVIF_DEVICE_CLASS "/%u/" LVIF_KEY_STATE, xen->self,
	         number);
	result = lvif_xen_read(xen, path, state, sizeof(state));
	return result < 0 ? result : 0;
}
