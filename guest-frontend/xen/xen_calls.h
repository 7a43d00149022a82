/* SPDX-License-Identifier: BSD-2-Clause */
/* What a Linux guest's user space asks of Xen, as one table: the real one, or a fake in a test. Each function does, and sets
 * errno, as its namesake of libc, libxenevtchn and libxenstore. */
#ifndef LIBRETTOS_XEN_CALLS_H
#define LIBRETTOS_XEN_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lvif_xen_calls {
	/* /dev/xen/gntalloc */
	int (*gntalloc_open)(void);
	int (*gntalloc_ioctl)(int fd, unsigned long request, void *argument);
	int (*close)(int fd);
	void *(*map)(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
	int (*unmap)(void *address, size_t bytes);

	/* /dev/xen/evtchn, one handle per channel so that each has a descriptor of its own; non-blocking */
	void *(*evtchn_open)(void);
	int (*evtchn_close)(void *channel);
	int (*evtchn_fd)(void *channel);
	int (*evtchn_bind_unbound)(void *channel, uint32_t domain); /* the port */
	int (*evtchn_notify)(void *channel, uint32_t port);
	int (*evtchn_pending)(void *channel); /* the port; -1 with EAGAIN */
	int (*evtchn_unmask)(void *channel, uint32_t port);

	/* xenstore */
	void *(*xs_open)(void);
	void (*xs_close)(void *store);
	int (*xs_fileno)(void *store);
	void *(*xs_read)(void *store, char const *path, unsigned *length); /* to be freed */
	bool (*xs_write)(void *store, char const *path, char const *value, unsigned length);
	bool (*xs_watch)(void *store, char const *path, char const *token);
	bool (*xs_unwatch)(void *store, char const *path, char const *token);
	char **(*xs_check_watch)(void *store); /* to be freed; NULL with EAGAIN */
};

extern struct lvif_xen_calls const lvif_xen_linux_calls;

#ifdef __cplusplus
}
#endif

#endif
