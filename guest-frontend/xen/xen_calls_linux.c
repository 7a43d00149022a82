/* SPDX-License-Identifier: BSD-2-Clause */
/* The real calls: Linux' Xen devices and Xen's libraries. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xenstore.h>

#include "xen_calls.h"

static int gntalloc_open(void)
{
	return open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);
}

static int gntalloc_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument);
}

static void *evtchn_open(void)
{
	xenevtchn_handle *const channel = xenevtchn_open(NULL, 0);
	int flags;

	if (channel == NULL)
		return NULL;
	flags = fcntl(xenevtchn_fd(channel), F_GETFL);
	if (flags >= 0 && fcntl(xenevtchn_fd(channel), F_SETFL, flags | O_NONBLOCK) == 0)
		return channel;
	flags = errno;
	xenevtchn_close(channel);
	errno = flags;
	return NULL;
}

static int evtchn_close(void *channel)
{
	return xenevtchn_close(channel);
}

static int evtchn_fd(void *channel)
{
	return xenevtchn_fd(channel);
}

static int evtchn_bind_unbound(void *channel, uint32_t domain)
{
	return xenevtchn_bind_unbound_port(channel, domain);
}

static int evtchn_notify(void *channel, uint32_t port)
{
	return xenevtchn_notify(channel, port);
}

static int evtchn_pending(void *channel)
{
	return xenevtchn_pending(channel);
}

static int evtchn_unmask(void *channel, uint32_t port)
{
	return xenevtchn_unmask(channel, port);
}

static void *store_open(void)
{
	return xs_open(0);
}

static void store_close(void *store)
{
	xs_close(store);
}

static int store_fileno(void *store)
{
	return xs_fileno(store);
}

static void *store_read(void *store, char const *path, unsigned *length)
{
	return xs_read(store, XBT_NULL, path, length);
}

static bool store_write(void *store, char const *path, char const *value, unsigned length)
{
	return xs_write(store, XBT_NULL, path, value, length);
}

static bool store_watch(void *store, char const *path, char const *token)
{
	return xs_watch(store, path, token);
}

static bool store_unwatch(void *store, char const *path, char const *token)
{
	return xs_unwatch(store, path, token);
}

static char **store_check_watch(void *store)
{
	return xs_check_watch(store);
}

struct lvif_xen_calls const lvif_xen_linux_calls = {
        .gntalloc_open = gntalloc_open,
        .gntalloc_ioctl = gntalloc_ioctl,
        .close = close,
        .map = mmap,
        .unmap = munmap,
        .evtchn_open = evtchn_open,
        .evtchn_close = evtchn_close,
        .evtchn_fd = evtchn_fd,
        .evtchn_bind_unbound = evtchn_bind_unbound,
        .evtchn_notify = evtchn_notify,
        .evtchn_pending = evtchn_pending,
        .evtchn_unmask = evtchn_unmask,
        .xs_open = store_open,
        .xs_close = store_close,
        .xs_fileno = store_fileno,
        .xs_read = store_read,
        .xs_write = store_write,
        .xs_watch = store_watch,
        .xs_unwatch = store_unwatch,
        .xs_check_watch = store_check_watch,
};
